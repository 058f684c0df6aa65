"""CIFAR-10 (Krizhevsky, 2009) as it is published: the batches for Python, or the binary ones."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from grmu_audit.data.dataset import Attribute, Augmentation, Dataset, Header
from grmu_audit.data.listing import Labels, listing_frame
from grmu_audit.data.readers.layout import ReaderOptions, RequiredFile, data_root, find_files, held_out, parse_options, unique_ids
from grmu_audit.errors import InputError
from grmu_audit.utils import read_file
from grmu_audit.utils.notations import LabelColumn, by_notation, check_notations, other_notation
from grmu_audit.utils.table_files import read_csv

HELP = (
    "unpack cifar-10-python.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html under the data root, or let torchvision "
    "download it: grmu-audit data import cifar10 --data-root DIR --download"
)
SOURCE = "{}, Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
VALIDATION = 0.1
"""Share of the training images that is sampled as validation; CIFAR-10 has none of its own."""
PIXELS = 3 * 32 * 32
LARGEST_BATCH = 64 << 20
"""Bytes that a batch file may have; the published ones have 31 million."""
ALLOWED = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("_codecs", "encode"),
    }
)
"""Names in the published batches; a pickle with any other name is refused."""


class CifarOptions(ReaderOptions):
    """Options of the CIFAR-10 reader."""

    attribute_file: str = ""
    """CSV with the columns ``id`` and one attribute; empty: one attribute value for all, so that groups are the classes."""
    exact_labels: bool = False
    """Whether labels of that file that differ in case only are kept apart."""
    seed: int = Field(0, ge=0)
    """Seed for sampling validation images."""


def read_cifar10(options: Mapping[str, object]) -> Dataset:
    """CIFAR-10 in memory (184 MB for all 60,000 images).

    Ids are ``train-00000`` (in the order of the five batches) and ``test-00000``.

    Raises:
        InputError: an option, a missing part, or a damaged batch.
    """
    chosen = parse_options("cifar10", CifarOptions, options)
    root = data_root("cifar10", chosen.root)
    binary = (root / "cifar-10-batches-bin").is_dir() and not (root / "cifar-10-batches-py").is_dir()
    folder, ending = ("cifar-10-batches-bin", ".bin") if binary else ("cifar-10-batches-py", "")
    parts = [RequiredFile((f"{folder}/{name}{ending}",), "training images") for name in TRAIN]
    paths = find_files("cifar10", root, [*parts, RequiredFile((f"{folder}/test_batch{ending}",), "test images")], HELP)
    batches = [_read_binary(path) if binary else _read_batch(path) for path in paths]
    pixels = np.concatenate([images for images, _ in batches])
    targets = np.concatenate([labels for _, labels in batches])
    base = Header("cifar10", "binary batches" if binary else "python batches", CLASSES, (), source=SOURCE.format("CIFAR-10"))
    return cifar_dataset(base, chosen, pixels, targets, len(batches[-1][1]))


def cifar_dataset(
    base: Header, chosen: CifarOptions, pixels: npt.NDArray[np.uint8], targets: npt.NDArray[np.int64], test: int
) -> Dataset:
    """Images of which the last ``test`` are the test split; validation images are sampled from the others.

    Args:
        base: name, version, classes and source.
        chosen: attribute file and seed.
        pixels: [n, 3, 32, 32].
        targets: [n] classes.
        test: number of test images.
    """
    ids = [f"train-{i:05d}" for i in range(len(targets) - test)] + [f"test-{i:05d}" for i in range(test)]
    val = held_out(ids[:-test], VALIDATION, chosen.seed, f"{base.name} val")
    split = ["val" if name in val else name.partition("-")[0] for name in ids]
    attribute, values, provenance = _attribute(chosen, ids)
    labels = Labels(ids, split, targets.tolist(), [(attribute, values)], target_name="class")
    frame, names, excluded, kept = listing_frame(labels)
    header = replace(
        base,
        attribute_names=names,
        image_size=(3, 32, 32),
        augmentation=Augmentation(shift=0.25, flip=True),
        target_name="class",
        attributes=(attribute,),
        licence="not stated by the authors",
        attribute_provenance=provenance,
    )
    return Dataset(header, frame, np.ascontiguousarray(pixels[kept]), excluded)


def _attribute(chosen: CifarOptions, ids: list[str]) -> tuple[Attribute, list[int | None], str]:
    """The attribute column of all images."""
    if not chosen.attribute_file:
        return Attribute("all", ("all images",)), [0] * len(ids), "one value for all: the groups are the classes"
    table = read_csv(Path(chosen.attribute_file))
    names = [name for name in table.header if name != "id"]
    if len(names) != 1:
        raise InputError(f"{table.source}: needs the column id and exactly one other, has {', '.join(table.header)}")
    unique_ids(table.source, table.rows, table.column("id"))
    labels = LabelColumn(table.source, names[0], table.rows, table.column(names[0]), "--data-option exact_labels=true")
    check_notations(labels, exact=chosen.exact_labels)
    found = dict(zip(table.column("id"), table.column(names[0]), strict=True))
    unknown = sorted(found.keys() - set(ids))
    if unknown:
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        hint = other_notation(unknown[0], by_notation(ids))
        raise InputError(f"{table.source}: no image {unknown[0][:80]!a}{hint}{more}: ids are {ids[0]} to {ids[-1]}")
    values = sorted({value for value in found.values() if value})
    code = {value: index for index, value in enumerate(values)}
    cells: list[int | None] = [code.get(found.get(name, "")) for name in ids]
    return Attribute(names[0], tuple(values)), cells, f"column {names[0]} of {table.source}"


class _Unpickler(pickle.Unpickler):
    """Builds arrays, bytes, lists and dicts, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse whatever the published batches do not use."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it needs {module}.{name}")
        return super().find_class(module, name)


def _read_batch(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images [n, 3, 32, 32] and classes of one batch for Python."""
    content = read_content(path, LARGEST_BATCH)
    try:
        tree = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        found = {key.decode() if isinstance(key, bytes) else key: value for key, value in tree.items()}
        return _check_batch(path, np.asarray(found["data"]), np.asarray(found["labels"]))
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: refused, a batch of images does not need that: {error}; unpack the archive again") from None
    except Exception as error:  # noqa: BLE001  (a damaged pickle raises anything)
        raise InputError(f"{path}: not a batch of CIFAR-10 ({type(error).__name__}): unpack the archive again") from None


def _read_binary(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images and classes of one binary batch: records of a label and 3,072 pixels."""
    content = np.frombuffer(read_content(path, LARGEST_BATCH), dtype=np.uint8)
    if not len(content) or len(content) % (PIXELS + 1):
        raise InputError(f"{path}: {len(content)} bytes are not whole records of {PIXELS + 1}: unpack the archive again")
    records = content.reshape(-1, PIXELS + 1)
    return _check_batch(path, records[:, 1:], records[:, 0])


def read_content(path: Path, largest: int) -> bytes:
    """The bytes of a file of at most ``largest``.

    Raises:
        InputError: it cannot be read, or is larger.
    """
    try:
        return read_file(path, largest)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _check_batch(
    path: Path, data: npt.NDArray[Any], labels: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS or labels.shape != (len(data),):
        raise InputError(f"{path}: holds {data.dtype} {data.shape}, expected uint8 (n, {PIXELS}) and n labels")
    if labels.dtype.kind not in "iu" or not len(labels) or labels.min() < 0 or labels.max() >= len(CLASSES):
        raise InputError(f"{path}: a label is outside 0..{len(CLASSES) - 1}: unpack the archive again")
    return data.reshape(-1, 3, 32, 32), labels.astype(np.int64)
