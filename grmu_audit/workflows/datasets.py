"""Datasets: which there are, what one holds, whether it passes the quality checks, and downloads."""

from __future__ import annotations

import inspect
import secrets
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from grmu_audit.data.catalog import DataSpec, datasets, load_dataset
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.forget import check_forget_list, group_table, read_forget_list, rows_of_subjects, split_rows
from grmu_audit.data.quality import check_quality
from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError
from grmu_audit.records import DataCheckReport, ForgetRequest, GroupCount
from grmu_audit.utils.progress import SILENT, Observer

DOWNLOADS = {"celeba": "CelebA", "cifar10": "CIFAR10"}
"""Datasets that torchvision downloads, with their class there."""
MOST_SIZES = 12
"""Most sizes of image files that are listed."""


@dataclass(frozen=True)
class DatasetDescription:
    """What a dataset holds, under a forget list where there is one."""

    dataset: Dataset
    """Header, rows and inputs."""
    groups: tuple[GroupCount, ...]
    """Group table."""
    facts: tuple[str, ...]
    """Lines for people: names, sizes, provenance, what was left out."""


def dataset_rows() -> list[list[str]]:
    """Name and one line of every dataset that can be read, sorted."""
    return [[name, (inspect.getdoc(reader) or "").split("\n")[0]] for name, reader in datasets]


def describe_data(spec: DataSpec, forget: Path | None, observer: Observer) -> DatasetDescription:
    """Read a dataset and say what it holds.

    Raises:
        InputError: the dataset or the list is wrong.
        DataQualityError: image files that cannot be used.
    """
    dataset = load_dataset(spec, observer)
    header = dataset.header
    parts = split_rows(dataset.frame, _request(dataset, forget))
    groups = group_table(dataset.frame, parts, header.class_names, header.attribute_names)
    return DatasetDescription(dataset, groups, tuple(_facts(dataset)))


def check_data(spec: DataSpec, forget: Path | None, minimum: int, observer: Observer = SILENT) -> DataCheckReport:
    """All quality checks, with every decoded image compared with its digest again.

    Raises:
        InputError: the dataset or the list is wrong.
        DataQualityError: image files that cannot be used.
        IntegrityError: the image cache is not what was written.
    """
    from grmu_audit.data.images import ImageStore

    dataset = load_dataset(spec, observer)
    if isinstance(dataset.pixels, ImageStore) and (damaged := dataset.pixels.damaged()):
        raise IntegrityError(f"{len(damaged)} decoded images are not what was written: remove {dataset.pixels.folder}")
    return check_quality(dataset, _request(dataset, forget), minimum)


def download(name: str, root: Path) -> None:
    """Let torchvision download a dataset into its published layout.

    Raises:
        NotFoundError: no dataset of that name.
        InputError: torchvision cannot download it.
        EnvironmentFailure: the download failed.
    """
    datasets.get(name)
    if name not in DOWNLOADS:
        raise InputError(f"{name}: cannot be downloaded; can: {', '.join(DOWNLOADS)}. 'data describe {name}' says how to get it")
    from torchvision import datasets as published

    root.mkdir(parents=True, exist_ok=True)
    try:
        getattr(published, DOWNLOADS[name])(root=str(root), download=True)
    except Exception as error:  # noqa: BLE001  (network, archive, checksum and missing-package errors of many types)
        raise EnvironmentFailure(
            f"{name}: torchvision could not download it into {root} ({type(error).__name__}: {str(error)[:300]}); "
            f"get it by hand: 'grmu-audit data describe {name} --data-root {root}' says how"
        ) from None


def _request(dataset: Dataset, forget: Path | None) -> ForgetRequest | None:
    if forget is None:
        return None
    header, key = dataset.header, secrets.token_bytes(32)  # its digest is not shown
    parsed = rows_of_subjects(read_forget_list(forget), dataset.frame, header.subject_name)
    names, attributes = header.class_names, header.attribute_names
    return check_forget_list(parsed, dataset.frame, key, class_names=names, attribute_names=attributes)


def _facts(dataset: Dataset) -> list[str]:
    header = dataset.header
    shape = " x ".join(map(str, header.input_shape))
    sizes = ", ".join(f"{split} {len(dataset.rows(split))}" for split in ("train", "val", "test"))
    single = [f"{a.name} ({', '.join(a.values)})" for a in header.attributes] or [", ".join(header.attribute_names)]
    positive = header.class_names[header.positive_class]
    lines = [
        f"{header.name} {header.version}, {header.kind}, input {shape}, sha256 {dataset.digest}",
        f"samples: {sizes}",
        f"target: {header.target_name or 'target'} ({', '.join(header.class_names)}); positive: {positive}",
        f"attribute: {'; '.join(single)}; labels: {header.attribute_provenance or 'provenance not stated'}",
        f"source: {header.source or 'not stated'}; licence: {header.licence or 'not stated'}",
    ]
    if header.subject_name:
        lines.append(f"subjects: {dataset.frame['subject'].nunique()} ({header.subject_name})")
    lines += [f"left out: {count} samples ({column})" for column, count in dataset.excluded.items()]
    return [*lines, *dataset.facts, *_sizes(dataset)]


def _sizes(dataset: Dataset) -> list[str]:
    """Sizes of the decoded files, the most frequent first."""
    from grmu_audit.data.images import ImageStore

    store = dataset.pixels
    if not isinstance(store, ImageStore):
        return []
    found = Counter(zip(store.heights.tolist(), store.widths.tolist(), strict=True)).most_common()
    shown = ", ".join(f"{h} x {w} ({n})" for (h, w), n in found[:MOST_SIZES])
    more = f" and {len(found) - MOST_SIZES} other sizes" if len(found) > MOST_SIZES else ""
    return [f"image files (height x width): {shown}{more}; {len(store.data) / 1e6:.0f} MB decoded in {store.folder}"]
