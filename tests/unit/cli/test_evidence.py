"""What commands about evidence and keys print."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.cli.app import execute
from grmu_audit.cli.commands import evidence as commands
from grmu_audit.evidence import KEY_FILE_VARIABLE, load_key
from grmu_audit.workflows import keys
from grmu_audit.workflows.keys import Rotation


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The key file of a session on an empty store."""
    path = tmp_path / "hmac.key"
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(path))
    monkeypatch.setattr(commands, "open_session", lambda ctx: open_session(MemoryStore(tmp_path / "store"), tmp_path))
    return path


def test_a_rotation_says_where_the_earlier_key_is_kept(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = load_key()
    assert execute(["keys", "rotate"]) == 0
    said = capsys.readouterr().out.split(":")[0]
    assert load_key() != before
    (kept,) = [path for path in key.parent.iterdir() if path.is_file() and path != key]
    assert said == f"the earlier key is kept in {kept}"
    assert bytes.fromhex(kept.read_text()) == before


def test_a_rotation_names_models_and_requests_that_no_data_has(
    key: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "rotate", lambda session: Rotation({"faces": 2, "names": 1}, None, ("R-9",)))
    assert execute(["keys", "rotate"]) == 0
    assert " ".join(capsys.readouterr().out.split()) == (
        "faces: requests of 2 versions recorded under the new key names: requests of 1 versions recorded under the new key"
        " R-9: this request was recorded with the earlier key, and no data has its rows: withdraw it, and add it again"
    )


def test_a_rotation_without_a_key_exits_with_2(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["keys", "rotate"]) == 2
    assert f"there is no key in {key} to rotate" in capsys.readouterr().err
    assert not key.exists()
