"""CIFAR-100 (Krizhevsky, 2009) as it is published in its binary version; the one for Python is a pickle and is not read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from grmu_audit.data.dataset import Dataset, Header
from grmu_audit.data.readers.cifar10 import PIXELS, SOURCE, CifarOptions, cifar_dataset, read_content
from grmu_audit.data.readers.layout import RequiredFile, data_root, find_files, parse_options
from grmu_audit.errors import InputError

FOLDER = "cifar-100-binary"
HELP = (
    "unpack cifar-100-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html under the data root; the version for Python "
    "(cifar-100-python, which torchvision downloads) is a pickle, which could run code, and is not read"
)
LARGEST_FILE = 256 << 20
"""Bytes that a file may have; the published ones have 154 million."""
COUNTS = {"fine": 100, "coarse": 20}
"""Classes and superclasses."""


class Cifar100Options(CifarOptions):
    """Options of the CIFAR-100 reader."""

    target: Literal["fine", "coarse"] = "fine"
    """100 classes, or the 20 superclasses."""


def read_cifar100(options: Mapping[str, object]) -> Dataset:
    """CIFAR-100 in memory (184 MB for all 60,000 images).

    Ids are ``train-00000`` and ``test-00000``, in the order of the two files.

    Raises:
        InputError: an option, a missing part, or a damaged file.
    """
    chosen = parse_options("cifar100", Cifar100Options, options)
    root = data_root("cifar100", chosen.root)
    parts = [
        RequiredFile((f"{FOLDER}/train.bin",), "training images"),
        RequiredFile((f"{FOLDER}/test.bin",), "test images"),
        RequiredFile((f"{FOLDER}/{chosen.target}_label_names.txt",), "names of the classes"),
    ]
    train, test, named = find_files("cifar100", root, parts, HELP)
    classes = _read_names(named, COUNTS[chosen.target])
    records = [_read_records(path) for path in (train, test)]
    pixels = np.concatenate([one[:, 2:] for one in records]).reshape(-1, 3, 32, 32)
    targets = np.concatenate([one[:, int(chosen.target == "fine")] for one in records]).astype(np.int64)
    if targets.max() >= len(classes):
        raise InputError(f"{train.parent}: a label is outside 0..{len(classes) - 1}: unpack the archive again")
    base = Header("cifar100", f"binary, {chosen.target} labels", classes, (), source=SOURCE.format("CIFAR-100"))
    return cifar_dataset(base, chosen, pixels, targets, len(records[1]))


def _read_names(path: Path, count: int) -> tuple[str, ...]:
    """One name a line."""
    names = tuple(line.strip() for line in read_content(path, 1 << 16).decode("utf-8", "replace").splitlines() if line.strip())
    if len(names) != count or len(set(names)) != count:
        raise InputError(f"{path}: {len(names)} names, expected {count} different ones: unpack the archive again")
    return names


def _read_records(path: Path) -> npt.NDArray[np.uint8]:
    """[n, 2 + 3072]: superclass, class, and the pixels of each image."""
    content = np.frombuffer(read_content(path, LARGEST_FILE), dtype=np.uint8)
    if not len(content) or len(content) % (PIXELS + 2):
        raise InputError(f"{path}: {len(content)} bytes are not whole records of {PIXELS + 2}: unpack the archive again")
    return content.reshape(-1, PIXELS + 2)
