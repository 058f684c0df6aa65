"""Datasets, forget lists and the batch source."""

from typing import TYPE_CHECKING

from grmu_audit.utils.lazy import lazy_names

if TYPE_CHECKING:
    from grmu_audit.data.batches import Batch as Batch
    from grmu_audit.data.batches import BatchSource as BatchSource
    from grmu_audit.data.catalog import DataSpec as DataSpec
    from grmu_audit.data.catalog import load_dataset as load_dataset
    from grmu_audit.data.dataset import Attribute as Attribute
    from grmu_audit.data.dataset import Dataset as Dataset
    from grmu_audit.data.dataset import Header as Header

__getattr__ = lazy_names(
    __name__,
    {
        "batches": (
            "Batch",
            "BatchSource",
        ),
        "catalog": (
            "DataSpec",
            "load_dataset",
        ),
        "dataset": (
            "Attribute",
            "Dataset",
            "Header",
        ),
    },
)
