"""Use case: what a dataset holds."""

from __future__ import annotations

from grmu_audit.data.catalog import DataSpec, load_dataset
from grmu_audit.data.dataset import Header
from grmu_audit.data.forget import composition, splits
from grmu_audit.records import GroupCount


def describe(spec: DataSpec) -> tuple[Header, str, tuple[GroupCount, ...]]:
    """Header, digest and group table of a dataset.

    Raises:
        NotFoundError: no such dataset.
    """
    dataset = load_dataset(spec)
    parts = splits(dataset.frame, None)
    names = dataset.header.class_names, dataset.header.attribute_names
    return dataset.header, dataset.digest, composition(dataset.frame, parts, *names)
