"""Datasets by name: what a model version's tags need to say so that its data is found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields

from grmu_audit.data.dataset import Dataset
from grmu_audit.data.listing import Listing
from grmu_audit.errors import InputError
from grmu_audit.utils.plugins import Registry
from grmu_audit.utils.progress import SILENT, Observer

Reader = Callable[[Mapping[str, object]], Dataset | Listing]
datasets: Registry[Reader] = Registry("dataset", "grmu_audit.datasets")
"""Readers by dataset name; each takes its options and returns a ``Dataset``, or a ``Listing`` of files still to be decoded."""
MANIFEST_ENDINGS = (".yaml", ".yml")
"""Suffixes of manifest files; such a name is a path, not a name of ``datasets``."""


@dataclass(frozen=True)
class DataSpec:
    """How to get a dataset again: its name and the reader's options, as stored in a version's tags."""

    name: str
    """Name in ``datasets``, or the path of a manifest file."""
    options: dict[str, object] = field(default_factory=dict)
    """Options of the reader; JSON types only."""


def read_listing(spec: DataSpec) -> Dataset | Listing:
    """Names and labels of a dataset; image files are not decoded yet.

    Raises:
        NotFoundError: no dataset of that name.
        InputError: an option is unknown or out of range, or tables are missing or damaged.
    """
    if spec.name.endswith(MANIFEST_ENDINGS):
        from grmu_audit.data.readers.user_data import read_manifest

        return read_manifest({**spec.options, "manifest": spec.name})
    return datasets.get(spec.name)(spec.options)


def load_dataset(spec: DataSpec, observer: Observer = SILENT) -> Dataset:
    """Read or generate the dataset; images are decoded once and cached.

    Args:
        spec: name and options.
        observer: receives the progress of decoding.

    Raises:
        NotFoundError: no dataset of that name.
        InputError: an option is unknown or out of range, or the data is damaged.
        DataQualityError: image files that cannot be decoded; all are named.
    """
    found = read_listing(spec)
    if isinstance(found, Dataset):
        return found
    from grmu_audit.data.images import decode_listing

    return decode_listing(found, observer)


@datasets.register("photodigits")
def _photodigits(options: Mapping[str, object]) -> Dataset:
    """Handwritten digits over two photographs, generated on the spot (no files needed)."""
    from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits

    known = {f.name: f.type for f in fields(PhotoDigitsOptions)}
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"photodigits: unknown option(s) {', '.join(unknown)}; known: {', '.join(known)}")
    try:
        cast = {k: float(str(v)) if k == "correlation" else int(str(v)) for k, v in options.items()}
    except ValueError as error:
        raise InputError(f"photodigits: an option is not a number: {error}") from None
    return photodigits(PhotoDigitsOptions(**cast))  # type: ignore[arg-type]


@datasets.register("celeba")
def _celeba(options: Mapping[str, object]) -> Dataset | Listing:
    """CelebA: hair colour or another attribute as target, sex or others as attribute."""
    from grmu_audit.data.readers.celeba import read_celeba

    return read_celeba(options)


@datasets.register("waterbirds")
def _waterbirds(options: Mapping[str, object]) -> Dataset | Listing:
    """Waterbirds: land or water bird as target, background as attribute."""
    from grmu_audit.data.readers.waterbirds import read_waterbirds

    return read_waterbirds(options)


@datasets.register("fairface")
def _fairface(options: Mapping[str, object]) -> Dataset | Listing:
    """FairFace: age band as target, race as attribute (gender too by option)."""
    from grmu_audit.data.readers.fairface import read_fairface

    return read_fairface(options)


@datasets.register("cifar10")
def _cifar10(options: Mapping[str, object]) -> Dataset | Listing:
    """CIFAR-10: ten classes; the groups are the classes, or those of an attribute file."""
    from grmu_audit.data.readers.cifar10 import read_cifar10

    return read_cifar10(options)


@datasets.register("multinli")
def _multinli(options: Mapping[str, object]) -> Dataset | Listing:
    """MultiNLI: entailment as target, negation as attribute; texts."""
    from grmu_audit.data.readers.multinli import read_multinli

    return read_multinli(options)
