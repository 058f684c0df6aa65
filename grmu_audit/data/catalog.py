"""Datasets by name: what a model version's tags need to say so that its data is found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module

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
PREPROCESS = "preprocess"
"""Option of every dataset: how its inputs are prepared, where that is not as the data says (``data.preprocess``)."""


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
    options = {key: value for key, value in spec.options.items() if key != PREPROCESS}
    found = _read(spec.name, options)
    if PREPROCESS not in spec.options:
        return found
    from grmu_audit.data.preprocess import prepared, preprocess_of

    return prepared(found, preprocess_of(spec.options[PREPROCESS], spec.name))


def _read(name: str, options: Mapping[str, object]) -> Dataset | Listing:
    if name.endswith(MANIFEST_ENDINGS):
        from grmu_audit.data.readers.user_data import read_manifest

        return read_manifest({**options, "manifest": name})
    return datasets.get(name)(options)


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

    known = [option.name for option in fields(PhotoDigitsOptions)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"photodigits: unknown option(s) {', '.join(unknown)}; known: {', '.join(known)}")
    try:
        cast = {k: float(str(v)) if k == "correlation" else int(str(v)) for k, v in options.items()}
    except ValueError as error:
        raise InputError(f"photodigits: an option is not a number: {error}") from None
    return photodigits(PhotoDigitsOptions(**cast))  # type: ignore[arg-type]


def _reader(name: str, what: str) -> Reader:
    """``read_NAME`` of ``data.readers.NAME``, which is imported when it is first called."""

    def read(options: Mapping[str, object]) -> Dataset | Listing:
        reader: Reader = getattr(import_module(f"grmu_audit.data.readers.{name}"), f"read_{name}")
        return reader(options)

    read.__doc__ = what
    return read


for _name, _what in {
    "celeba": "CelebA: hair colour or another attribute as target, sex or others as attribute.",
    "waterbirds": "Waterbirds: land or water bird as target, background as attribute.",
    "fairface": "FairFace: age band as target, race as attribute (gender too by option).",
    "cifar10": "CIFAR-10: ten classes; the groups are the classes, or those of an attribute file.",
    "cifar100": "CIFAR-100 in its binary version: 100 classes or 20 superclasses; groups as for CIFAR-10.",
    "multinli": "MultiNLI: entailment as target, negation as attribute; texts.",
}.items():
    datasets.add(_name, _reader(_name, _what))
