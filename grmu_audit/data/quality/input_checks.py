"""What the quality checks need to know of the inputs themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from grmu_audit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from grmu_audit.data.dataset import Dataset
    from grmu_audit.data.images.near_duplicates import Hashes

MANIFEST_COLUMNS = ("id", "split", "target", "attribute")
"""Columns that every manifest has."""


@dataclass(frozen=True)
class QualityInputs:
    """The checked parts of a dataset: its n rows, and properties of its inputs."""

    frame: pd.DataFrame
    """Manifest with ``MANIFEST_COLUMNS``, optionally ``subject``."""
    class_names: Sequence[str]
    """Names by class index; their number declares the classes."""
    attribute_names: Sequence[str]
    """Names by attribute index."""
    content: Sequence[str]
    """[n] digest of each sample's decoded content."""
    stated_size: Sequence[bool] | None = None
    """[n] whether each sample was decoded to the stated size."""
    near_copies: Sequence[int] | None = None
    """[n] training samples that look almost the same as each sample (``data.images.near_duplicates``)."""
    unanswered: Mapping[str, str] = field(default_factory=dict)
    """Expectations that could not be evaluated, with the reason: warnings that have not passed."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Samples that the reader left out, by the label that they lack or another reason: a warning."""
    copies: str = "error"
    """Severity of content of train again in val or test: ``error`` for images; ``warning`` where different people can have the
    same content (rows of a table, short texts)."""

    @classmethod
    def of(cls, dataset: Dataset) -> QualityInputs:
        """From a dataset.

        Raises:
            InputError: a column is missing; all missing ones are named.
        """
        header, frame = dataset.header, dataset.frame
        missing = [column for column in MANIFEST_COLUMNS if column not in frame.columns]
        if missing:
            raise InputError(f"the manifest has no column {', '.join(map(repr, missing))}: add it, or import the data again")
        near_copies = count_train_duplicates(dataset)
        too_many = {"no near-duplicate of train in val or test": "too many images look alike to compare all pairs"}
        return cls(
            frame,
            header.class_names,
            header.attribute_names,
            dataset.content,
            stated_size=has_stated_size(dataset),
            near_copies=near_copies,
            unanswered=too_many if near_copies is None and has_images(dataset) else {},
            excluded=dataset.excluded,
            copies="error" if header.kind == "image" else "warning",
        )


def has_stated_size(dataset: Dataset) -> list[bool] | None:
    """[n] whether each image file has the stated size; None where no size is stated and nothing was decoded from files.

    A file that cannot be decoded has stopped the command before (``decode_listing``), so every image that is here is readable.
    """
    from grmu_audit.data.images.decode import ImageSize, stored_size
    from grmu_audit.data.images.store import ImageStore

    store, stated = dataset.pixels, dataset.header.stated_size
    if not isinstance(store, ImageStore):
        return None
    if stated is None:
        return [True] * len(store)
    height, width = stored_size(ImageSize(*stated), dataset.header.longest_short_side)
    return [bool(same) for same in (store.heights == height) & (store.widths == width)]


def count_train_duplicates(dataset: Dataset) -> list[int] | None:
    """[n] training images that look almost the same as each validation and test image (0 for training images themselves).

    None for inputs that are no images (``has_images`` is False then), and where too many images are alike to compare all pairs.
    """
    from grmu_audit.data.images.near_duplicates import count_near_duplicates

    hashes = _hashes(dataset)
    if hashes is None:
        return None
    train = dataset.rows("train")
    others = np.concatenate([dataset.rows("val"), dataset.rows("test")])
    found = (
        count_near_duplicates(hashes[others], hashes[train])
        if len(train) and len(others)
        else np.zeros(len(others), dtype=np.int64)
    )
    if found is None:
        return None
    counts = np.zeros(len(dataset), dtype=np.int64)
    counts[others] = found
    return [int(count) for count in counts]


def has_images(dataset: Dataset) -> bool:
    """Whether the inputs are images, which can look alike."""
    return _hashes(dataset) is not None


def _hashes(dataset: Dataset) -> Hashes | None:
    from grmu_audit.data.images.near_duplicates import hashes_of
    from grmu_audit.data.images.store import ImageStore

    if dataset.header.kind != "image":
        return None
    if isinstance(dataset.pixels, ImageStore):
        return dataset.pixels.hashes
    pixels = np.asarray(dataset.pixels)
    if pixels.shape[1] != 3:
        return None
    return hashes_of(np.ascontiguousarray(image.transpose(1, 2, 0)) for image in pixels)
