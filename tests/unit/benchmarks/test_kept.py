"""Results that stay: computed once for a name and code, and never taken from other code."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measurements.kept import Kept, digest_of_files


def test_a_result_is_computed_once_for_the_same_code(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "kept.json"
    assert Kept(path, "a").once("x", lambda: {"pair": (1, 2.5)}) == {"pair": [1, 2.5]}
    again = Kept(path, "a")
    assert again.once("x", lambda: pytest.fail("computed twice")) == {"pair": [1, 2.5]}
    assert again.once("y", lambda: 3) == 3
    assert Kept(path, "a").found == {"x": {"pair": [1, 2.5]}, "y": 3}
    assert Kept(path, "b").found == {}
    assert Kept(path, "b").once("x", lambda: 4) == 4
    assert Kept(path, "b").found == {"x": 4}


def test_the_digest_is_of_names_and_contents_of_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.py").write_text("1")
    (tmp_path / "b.yaml").write_text("2")
    names = ["part", "b.yaml"]
    before = digest_of_files(names, tmp_path)
    assert before == digest_of_files(reversed(names), tmp_path)
    (tmp_path / "part" / "b.txt").write_text("no code")
    assert digest_of_files(names, tmp_path) == before
    (tmp_path / "part" / "a.py").rename(tmp_path / "part" / "c.py")
    assert digest_of_files(names, tmp_path) != before
    with pytest.raises(FileNotFoundError):
        digest_of_files(["none.py"], tmp_path)
