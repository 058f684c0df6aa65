"""Datasets by name: what a model version's tags need to say so that its data is found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from grmu_audit.data.dataset import Dataset
from grmu_audit.errors import InputError
from grmu_audit.plugins import Registry

Reader = Callable[[Mapping[str, object]], Dataset]
datasets: Registry[Reader] = Registry("dataset", "grmu_audit.datasets")
"""Readers by dataset name; each takes its options and returns a ``Dataset``."""


@dataclass(frozen=True)
class DataSpec:
    """How to get a dataset again: its name and the reader's options, as stored in a version's tags."""

    name: str
    """Name in ``datasets``."""
    options: dict[str, object] = field(default_factory=dict)
    """Options of the reader; JSON types only."""


def load_dataset(spec: DataSpec) -> Dataset:
    """Read or make the dataset.

    Raises:
        NotFoundError: no dataset of that name.
        InputError: an option is unknown or out of range, or the data is damaged.
    """
    return datasets.get(spec.name)(spec.options)


@datasets.register("photodigits")
def _photodigits(options: Mapping[str, object]) -> Dataset:
    from dataclasses import fields

    from grmu_audit.data.photodigits import PhotoDigitsOptions, photodigits

    known = {f.name: f.type for f in fields(PhotoDigitsOptions)}
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"photodigits: unknown option(s) {', '.join(unknown)}; known: {', '.join(known)}")
    try:
        cast = {k: float(str(v)) if k == "correlation" else int(str(v)) for k, v in options.items()}
    except ValueError as error:
        raise InputError(f"photodigits: an option is not a number: {error}") from None
    return photodigits(PhotoDigitsOptions(**cast))  # type: ignore[arg-type]
