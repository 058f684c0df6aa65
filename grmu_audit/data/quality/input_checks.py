"""What the quality checks need to know of the inputs themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.data.images.near_duplicates import Hashes


def sizes_ok(dataset: Dataset) -> list[bool] | None:
    """[n] whether each image file has the stated size; None where no size is stated and nothing was decoded from files.

    A file that cannot be decoded has stopped the command before (``cache.decoded``), so every image that is here is readable.
    """
    from grmu_audit.data.images.decode import Outline, stored_size
    from grmu_audit.data.images.store import ImageStore

    store, stated = dataset.pixels, dataset.header.stated_size
    if not isinstance(store, ImageStore):
        return None
    if stated is None:
        return [True] * len(store)
    height, width = stored_size(Outline(*stated), dataset.header.longest_short_side)
    return [bool(same) for same in (store.heights == height) & (store.widths == width)]


def near_copies(dataset: Dataset) -> list[int] | None:
    """[n] training images that look almost the same as each validation and test image (0 for training images themselves).

    None for inputs that are no images (``looks`` is False then), and where too many images are alike to compare all pairs.
    """
    from grmu_audit.data.images.near_duplicates import near_copies as alike

    hashes = _hashes(dataset)
    if hashes is None:
        return None
    train = dataset.rows("train")
    others = np.concatenate([dataset.rows("val"), dataset.rows("test")])
    found = alike(hashes[others], hashes[train]) if len(train) and len(others) else np.zeros(len(others), dtype=np.int64)
    if found is None:
        return None
    counts = np.zeros(len(dataset), dtype=np.int64)
    counts[others] = found
    return [int(count) for count in counts]


def looks(dataset: Dataset) -> bool:
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
