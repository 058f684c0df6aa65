"""A dataset inside the tool: a header, one table row per sample, and decoded pixels."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from grmu_audit.evidence import canonical_json

COLUMNS = ("id", "split", "target", "attribute", "subject")
"""Columns of every manifest table, in this order."""


@dataclass(frozen=True)
class Augmentation:
    """Per-sample random geometry during training."""

    scale: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest zoom of the content."""
    shift: float = 0.0
    """Largest shift, as a fraction of the half-width."""
    flip: bool = False
    """Whether half of the images are mirrored."""


@dataclass(frozen=True)
class Header:
    """What a manifest says about itself."""

    name: str
    """Dataset name."""
    version: str
    """Version of the layout or recipe."""
    class_names: tuple[str, ...]
    """Names of the classes, by index."""
    attribute_names: tuple[str, ...]
    """Names of the attribute values, by index."""
    positive_class: int = 1
    """Class that counts as the positive outcome."""
    image_size: tuple[int, int, int] = (3, 32, 32)
    """Channels, height, width."""
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    """Normalisation mean per channel, for pixels in [0, 1]."""
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    """Normalisation standard deviation per channel."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Training-time augmentation that suits the data."""
    source: str = ""
    """Where the samples come from."""
    licence: str = ""
    """Licence of the samples."""
    attribute_provenance: str = ""
    """How the attribute labels came about."""


@dataclass(frozen=True)
class Dataset:
    """All samples of all splits.

    Raises:
        InputError: from the readers that build it, never from here.
    """

    header: Header
    """Names, sizes and provenance."""
    frame: pd.DataFrame
    """n rows with the columns of ``COLUMNS``; the row number is the sample's index everywhere."""
    pixels: npt.NDArray[np.uint8]
    """[n, channels, height, width] decoded images, 0 to 255."""

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Row numbers of one split (``train``, ``val``, ``test``)."""
        return np.flatnonzero(self.frame["split"].to_numpy() == split).astype(np.int64)

    @cached_property
    def content(self) -> tuple[str, ...]:
        """[n] SHA-256 of each sample's decoded pixels."""
        return tuple(hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in self.pixels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over header, columns, dtypes, all rows and all decoded pixels."""
        state = hashlib.sha256(canonical_json(asdict(self.header)))
        for column in COLUMNS:
            values = self.frame[column].tolist()
            state.update(canonical_json([column, type(values[0]).__name__ if values else "empty", values]))
        state.update(canonical_json([str(self.pixels.dtype), list(self.pixels.shape)]))
        for content in self.content:
            state.update(content.encode())
        return state.hexdigest()
