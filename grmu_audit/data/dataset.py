"""A dataset inside the tool: a header, one table row per sample, and the inputs as a model gets them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from grmu_audit.records import Group
from grmu_audit.utils import canonical_json

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "val", "test")
"""Splits of every manifest table."""
COLUMNS = ("id", "split", "target", "attribute", "subject")
"""Columns of every manifest table, in this order; the columns of single attributes follow where there are several."""

ALONE = "(row "
"""Beginning of the subject of a sample that belongs to nobody; its place in the table follows."""


@dataclass(frozen=True)
class Augmentation:
    """Per-sample random geometry during training."""

    scale: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest zoom of the content."""
    shift: float = 0.0
    """Largest shift, as a fraction of the half-width."""
    flip: bool = False
    """Whether half of the images are mirrored."""
    area: tuple[float, float] | None = None
    """Random resized crop: smallest and largest share of the image's area; None for no crop."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest width / height of a random resized crop."""


@dataclass(frozen=True)
class Framing:
    """How a decoded image becomes an input without randomness."""

    mode: str = "as-is"
    """``as-is``: images have the size; ``stretch``: resized to it; ``crop``: resized by the shorter side, then its centre."""
    shorter: int = 0
    """Length of the shorter side before the centre is cut out; only with ``crop``."""
    interpolation: str = "bilinear"
    """``bilinear`` or ``bicubic``, both antialiased."""
    upright: bool = True
    """Whether an EXIF orientation is applied; torchvision's ``ImageFolder`` leaves it."""
    exact: bool = False
    """Whether a large image is resized once, from the file; otherwise from its stored, reduced form."""


@dataclass(frozen=True)
class Attribute:
    """One attribute column and what its codes mean."""

    name: str
    """Column name."""
    values: tuple[str, ...]
    """Names of the values, by code."""


@dataclass(frozen=True)
class Vocabulary:
    """The properties of a tokenizer that a model depends on."""

    size: int
    """Tokens that it knows."""
    pad: int
    """Number of the token that fills short texts up."""
    sep: int
    """Number of the token that ends each sentence of a pair."""
    sha256: str
    """Digest of the tokenizer's file."""


@dataclass(frozen=True)
class Header:
    """What a manifest says about itself; with it a model knows its input and its output."""

    name: str
    """Dataset name."""
    version: str
    """Version of the layout or recipe."""
    class_names: tuple[str, ...]
    """Names of the classes, by index."""
    attribute_names: tuple[str, ...]
    """Names of the attribute values, by index; of their combinations where there are several attributes."""
    positive_class: int = 1
    """Class that counts as the positive outcome."""
    image_size: tuple[int, int, int] = (3, 32, 32)
    """Channels, height, width of an input; only for images."""
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    """Normalisation mean: per channel for pixels in [0, 1], per feature for tables (of the training rows)."""
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    """Normalisation standard deviation, likewise."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Training-time augmentation that suits the data."""
    source: str = ""
    """Where the samples come from."""
    licence: str = ""
    """Licence of the samples."""
    attribute_provenance: str = ""
    """Provenance of the attribute labels."""
    kind: str = "image"
    """``image``, ``table`` or ``text``."""
    features: tuple[str, ...] = ()
    """Names of the features, in the order of the input; only for tables."""
    length: int = 0
    """Longest input in tokens; only for text."""
    vocabulary: Vocabulary | None = None
    """The tokenizer's; only for text."""
    view: Framing = field(default_factory=Framing)
    """How an image becomes an input in validation and test."""
    stated_size: tuple[int, int] | None = None
    """Height and width that every image file is said to have, where the data says so."""
    target_name: str = ""
    """Name of the target column."""
    attributes: tuple[Attribute, ...] = ()
    """The single attributes whose combinations are the groups; empty for one attribute without a name."""
    subject_name: str = ""
    """Name of the column of the person that a sample belongs to; empty where there is none."""

    @property
    def longest_short_side(self) -> int:
        """Shorter side beyond which decoded images are stored reduced: twice the input's, so that crops lose little."""
        return 2 * max(self.view.shorter, *self.image_size[1:])

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch: (channels, height, width), (features,) or (tokens,)."""
        shapes: dict[str, tuple[int, ...]] = {"image": self.image_size, "table": (len(self.features),), "text": (self.length,)}
        return shapes[self.kind]


class Inputs(Protocol):
    """The inputs of n samples as they are stored: an array, or something that gives one array per sample."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: Any, /) -> Any:
        """One sample's array."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """All samples' arrays, in order."""
        ...


@dataclass(frozen=True)
class DeletedRow:
    """A forgotten row that is no longer in the data."""

    name: str
    """Its pseudonym."""
    group: Group
    """Its group."""
    split: str = "train"
    """Its split: ``val`` and ``test`` where a request named a row that nothing is evaluated on."""


@dataclass(frozen=True)
class Dataset:
    """All samples of all splits."""

    header: Header
    """Names, sizes and provenance."""
    frame: pd.DataFrame
    """n rows with the columns of ``COLUMNS``; the row number is the sample's index everywhere."""
    pixels: npt.NDArray[Any] | Inputs
    """The inputs, whatever their kind.  Images: uint8 [n, channels, height, width], or an ``images.store.ImageStore`` of uint8
    [height, width, channels] of any size.  Tables: float32 [n, features].  Text: what its source stores."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Samples that were left out, by the column whose label they lack or another reason."""
    deleted: tuple[DeletedRow, ...] = ()
    """Rows of the data that this counts as (``counts_as``), named by requests and deleted since (``data.rows``)."""
    counts_as: str = ""
    """Digest of the data before they were deleted; empty where none were."""
    facts: tuple[str, ...] = ()
    """Sentences about the inputs for people, such as kind and range of each feature; not part of the digest."""

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Row numbers of one split (``train``, ``val``, ``test``)."""
        return np.flatnonzero(self.frame["split"].to_numpy() == split).astype(np.int64)

    @cached_property
    def content(self) -> tuple[str, ...]:
        """[n] SHA-256 of each sample's decoded input; taken from the inputs where they know it (attribute ``digests``)."""
        known = getattr(self.pixels, "digests", None)
        if known is not None:
            return tuple(known)
        return tuple(hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in self.pixels)

    @property
    def deleted_training(self) -> tuple[DeletedRow, ...]:
        """The deleted rows that were training rows."""
        return tuple(row for row in self.deleted if row.split == "train")

    @property
    def identity(self) -> str:
        """Digest that versions trained on it are tagged with: that of the data before forgotten rows were deleted."""
        return self.counts_as or self.digest

    @cached_property
    def digest(self) -> str:
        """SHA-256 over header, columns, dtypes, all rows and all decoded inputs."""
        state = hashlib.sha256(canonical_json(header_tree(self.header)))
        state.update(canonical_json(dict(self.excluded)))
        for column in self.frame.columns:
            values = self.frame[column].tolist()
            state.update(canonical_json([column, type(values[0]).__name__ if values else "empty", values]))
        kind, shape = getattr(self.pixels, "dtype", "object"), getattr(self.pixels, "shape", (len(self.pixels),))
        state.update(canonical_json([str(kind), list(shape)]))
        for content in self.content:
            state.update(content.encode())
        return state.hexdigest()


def header_tree(header: Header) -> dict[str, Any]:
    """Plain JSON types; what was added later is left out at its default, so that digests of older data do not change."""
    tree, plain = asdict(header), Framing()
    old = ("mode", "shorter")
    tree["view"] = {key: value for key, value in tree["view"].items() if key in old or value != getattr(plain, key)}
    return tree
