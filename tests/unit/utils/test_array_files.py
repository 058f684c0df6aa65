"""Arrays in a zip: what was stored comes back, files of earlier releases are read, and nothing false is allocated."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from grmu_audit.utils import array_files
from grmu_audit.utils.array_files import DamagedFileError, pack_arrays, read_array, read_facts, unpack_arrays

ARRAYS = {"values/b": np.arange(6.0).reshape(2, 3), "a": np.array([True, False]), "none": np.zeros((0, 4), np.float32)}


def as_zip(parts: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    part = io.BytesIO()
    np.lib.format.write_array(part, array)
    return part.getvalue()


def test_what_was_packed_comes_back_and_the_bytes_are_the_same_each_time(tmp_path: Path) -> None:
    content = pack_arrays({"seed": 3}, ARRAYS)
    assert content == pack_arrays({"seed": 3}, dict(reversed(ARRAYS.items())))
    facts, arrays = unpack_arrays(content)
    assert facts == {"seed": 3}
    assert {name: (array.dtype, array.tolist()) for name, array in arrays.items()} == {
        name: (array.dtype, array.tolist()) for name, array in ARRAYS.items()
    }
    path = tmp_path / "f.zip"
    path.write_bytes(content)
    assert read_facts(path) == {"seed": 3}
    assert read_array(path, "values/b").tolist() == ARRAYS["values/b"].tolist()


def test_files_of_earlier_releases_are_read(tmp_path: Path) -> None:
    """Parts in the order in which they were made, with the time of writing, as pools of shadow models stored them."""
    path = tmp_path / "0000.zip"
    path.write_bytes(as_zip({"facts.json": b'{"number":0,"seconds":1.5}', "margin.npy": npy(np.arange(3, dtype=np.float32))}))
    assert read_facts(path)["seconds"] == 1.5
    assert read_array(path, "margin").tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"facts.json": b"{", "a.npy": npy(np.arange(3))},
        {"facts.json": b"{}", "a.npy": npy(np.arange(3))[:-1]},
        {"facts.json": b"{}", "a.npy": npy(np.arange(3)).replace(b"(3,)", b"(9,)")},
        {"facts.json": b"{}", "a.npy": b"not an array"},
    ],
)
def test_damaged_files_are_refused(parts: dict[str, bytes]) -> None:
    with pytest.raises(DamagedFileError):
        unpack_arrays(as_zip(parts))


def test_whatever_a_damaged_part_raises_is_one_error() -> None:
    content = as_zip({"facts.json": b"{}" + b" " * 500}, zipfile.ZIP_DEFLATED)
    place = content.index(b"facts.json") + len("facts.json")
    for damaged in (content[:place] + b"\xff\xff" + content[place + 2 :], as_zip({"facts.json": b"[" * 100_000})):
        with pytest.raises(DamagedFileError):
            unpack_arrays(damaged)


def test_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.zip"
    part = io.BytesIO()
    np.lib.format.write_array(part, np.array([print], dtype=object), allow_pickle=True)
    path.write_bytes(as_zip({"facts.json": b"{}", "a.npy": part.getvalue()}))
    with pytest.raises(DamagedFileError):
        read_array(path, "a")


def test_a_part_that_unpacks_to_too_much_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "MOST_BYTES", 1 << 20)
    bomb = as_zip({"facts.json": b"{}", "a.npy": npy(np.zeros(1 << 20))}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 16
    with pytest.raises(DamagedFileError, match=r"a\.npy has 8,388,736 bytes"):
        unpack_arrays(bomb)


def test_a_missing_file_or_array_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.zip"
    with pytest.raises(DamagedFileError, match="FileNotFoundError"):
        read_facts(path)
    path.write_bytes(pack_arrays({}, {}))
    with pytest.raises(DamagedFileError, match="KeyError"):
        read_array(path, "margin")
