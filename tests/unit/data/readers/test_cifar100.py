"""CIFAR-100's binary version; the one for Python is named and never read."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from grmu_audit.data.readers.cifar100 import COUNTS, read_cifar100
from grmu_audit.errors import InputError


def write(root: Path, train: int = 100, test: int = 100) -> np.ndarray:
    folder = root / "cifar-100-binary"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, count in COUNTS.items():
        (folder / f"{name}_label_names.txt").write_text("\n".join(f"{name}{i}" for i in range(count)) + "\n\n")
    for part, count in (("train", train), ("test", test)):
        fine = np.arange(count, dtype=np.uint8) % 100
        pixels = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        (folder / f"{part}.bin").write_bytes(np.concatenate([(fine // 5)[:, None], fine[:, None], pixels], 1).tobytes())
    return pixels


@pytest.mark.parametrize("target", ["fine", "coarse"])
def test_labels_and_pixels(tmp_path: Path, target: str) -> None:
    pixels = write(tmp_path)
    found = read_cifar100({"root": str(tmp_path), "target": target})
    assert len(found.header.class_names) == COUNTS[target]
    last = found.frame.iloc[-1]
    assert (last["id"], last["split"], last["target"]) == ("test-00099", "test", {"fine": 99, "coarse": 19}[target])
    assert np.array_equal(np.asarray(found.pixels[-1]).reshape(-1), pixels[-1])
    assert len(found.rows("val")) == 10


def test_damage_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    with (tmp_path / "cifar-100-binary" / "test.bin").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match="are not whole records of 3074"):
        read_cifar100({"root": str(tmp_path)})


def test_the_version_for_python_is_not_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python" / "train").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match=r"cifar-100-binary.tar.gz .* is a pickle, which could run code, and is not read"):
        read_cifar100({"root": str(tmp_path)})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("names", ["class 1\n" * 100, "\n".join(f"class {i}" for i in range(99)), ""])
def test_names_of_classes_that_are_not_as_many_different_ones_are_refused(tmp_path: Path, names: str) -> None:
    write(tmp_path, 2, 2)
    (tmp_path / "cifar-100-binary" / "fine_label_names.txt").write_text(names)
    count = len(names.splitlines())
    with pytest.raises(InputError, match=f"fine_label_names.txt: {count} names, expected 100 different ones: unpack the archive"):
        read_cifar100({"root": str(tmp_path)})


@pytest.mark.parametrize(("target", "last"), [("fine", 99), ("coarse", 19)])
def test_a_label_without_a_name_is_refused(tmp_path: Path, target: str, last: int) -> None:
    write(tmp_path, 2, 2)
    path = tmp_path / "cifar-100-binary" / "train.bin"
    path.write_bytes(bytes([last + 1, last + 1]) + path.read_bytes()[2:])
    with pytest.raises(InputError, match=rf"cifar-100-binary: a label is outside 0\.\.{last}: unpack the archive again"):
        read_cifar100({"root": str(tmp_path), "target": target})
