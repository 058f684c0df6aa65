"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat

import pytest

from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.utils import write_atomic
from grmu_audit.utils.files import content_kind, listed_in, open_file, read_file


def test_write_atomic_replaces_makes_folders_and_leaves_no_temporary(tmp_path):
    target = tmp_path / "new" / "file.json"
    assert write_atomic(target, b"one") == target
    write_atomic(target, b"two", mode=0o600)
    assert target.read_bytes() == b"two"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [p.name for p in target.parent.iterdir()] == ["file.json"]


def test_write_atomic_replaces_a_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "real").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "real").read_bytes() == b"kept"
    assert not (tmp_path / "link").is_symlink()


def test_write_atomic_that_fails_keeps_the_old_content_and_cleans_up(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_text("x")
    with pytest.raises(EnvironmentFailure, match="cannot write"):
        write_atomic(tmp_path / "folder", b"a file cannot replace a folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    with pytest.raises(EnvironmentFailure, match="cannot write"):
        write_atomic(tmp_path / "folder" / "inside" / "below", b"a file has no children")


@pytest.mark.parametrize(
    ("made", "kind"),
    [(lambda p: p.mkdir(), "a folder"), (os.mkfifo, "a pipe"), (lambda p: p.symlink_to("/dev/zero"), "a device")],
)
def test_only_plain_files_are_opened_and_a_pipe_is_never_waited_for(tmp_path, made, kind):
    made(tmp_path / "odd")
    with pytest.raises(OSError, match=f"it is {kind}"):
        open_file(tmp_path / "odd")


def test_not_one_byte_more_than_allowed_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="more than the 4 bytes"):
        read_file(tmp_path / "a", 4)
    os.truncate(tmp_path / "a", 1 << 40)
    with pytest.raises(OSError, match="more than the 1,000 bytes"):
        read_file(tmp_path / "a", 1000)


def test_a_variable_that_holds_separators_alone_is_no_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_LIST", raising=False)
    assert listed_in("SOME_LIST") == []
    for text, found in (("", []), ("a.pub", ["a.pub"]), ("a.pub::b.pub:", ["a.pub", "b.pub"])):
        monkeypatch.setenv("SOME_LIST", text)
        assert listed_in("SOME_LIST") == found
    for text in (":", "::", " ", " : "):
        monkeypatch.setenv("SOME_LIST", text)
        with pytest.raises(InputError, match=r"SOME_LIST is '.*', which names nothing: unset it, or list what counts"):
            listed_in("SOME_LIST")


def test_a_column_whose_name_holds_the_mark_of_a_video_is_text() -> None:
    assert content_kind(b"img,ftype,label\n1.png,a,0\n") == ""
    assert content_kind(b"\0\0\0\x18ftypmp42") == "a video"
