"""Decoded images of any size in one memory-mapped file."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from grmu_audit.data.images.near_duplicates import Hashes
from grmu_audit.errors import IntegrityError

SCHEMA = "grmu-audit/decoded-images/v1"
"""Schema of a cache folder."""
PIXELS, INDEX, META = "pixels.bin", "index.npz", "meta.json"
"""Files of a cache folder."""


class ImageStore:
    """n images as uint8 [height, width, 3], mapped from disk: only what is read takes memory, and that can be given back.

    Args:
        data: [bytes] all images one after the other.
        heights: [n] rows of each image.
        widths: [n] columns of each image.
        digests: [n] SHA-256 of each image (``image_digest``).
        hashes: [n, 2] difference hash of each image (``near_duplicates.difference_hash``).
        folder: where the file is; None for a store in memory.

    Attributes:
        still: the same images as finished inputs of validation and test, where these are resized once from large files.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        data: npt.NDArray[np.uint8],
        heights: npt.NDArray[np.int64],
        widths: npt.NDArray[np.int64],
        digests: tuple[str, ...],
        hashes: Hashes,
        folder: Path | None = None,
    ) -> None:
        self.data = data
        self.heights, self.widths = heights, widths
        self.digests = digests
        self.hashes = hashes
        self.folder = folder
        self._mapped: mmap.mmap | None = None
        self.still: ImageStore | None = None
        self.offsets = offsets(heights, widths)

    def __len__(self) -> int:
        return len(self.heights)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, bytes): sizes differ from image to image."""
        return (len(self), int(self.offsets[-1]))

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        """[height, width, 3] of one image, a view that cannot be written to."""
        start, stop = self.offsets[index], self.offsets[index + 1]
        return self.data[start:stop].reshape(int(self.heights[index]), int(self.widths[index]), 3)

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        return (self[index] for index in range(len(self)))

    def damaged(self) -> list[int]:
        """Images whose pixels are not those of their digest; reads everything."""
        self._advise("MADV_SEQUENTIAL")
        found = [index for index, image in enumerate(self) if image_digest(image) != self.digests[index]]
        self._advise("MADV_RANDOM")
        return found

    def expect(self, images: npt.NDArray[np.int64]) -> None:
        """Have the system read these images into memory now, all at once and nothing beside them."""
        if self._mapped is None:
            return
        starts = self.offsets[images] // mmap.PAGESIZE * mmap.PAGESIZE
        for start, length in zip(starts.tolist(), (self.offsets[images + 1] - starts).tolist(), strict=True):
            self._advise("MADV_WILLNEED", start, length)

    def _advise(self, advice: str, *span: int) -> None:
        """Tell the system how the map will be read, where it can be told; by default it reads far beyond each random image."""
        if self._mapped is not None and hasattr(mmap, advice):
            self._mapped.madvise(getattr(mmap, advice), *span)


def offsets(heights: npt.NDArray[np.int64], widths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """[n + 1] first byte of each image, and the end."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(heights * widths * 3)])


def image_digest(image: npt.NDArray[np.uint8]) -> str:
    """SHA-256 over size and pixels of one [height, width, 3] image."""
    state = hashlib.sha256(f"{image.shape[0]}x{image.shape[1]}:".encode())
    state.update(np.ascontiguousarray(image).data)
    return state.hexdigest()


def open_store(folder: Path) -> ImageStore:
    """Map a finished cache folder.

    Raises:
        IntegrityError: a file is missing, of another size, or the index is not what was written.
    """
    try:
        meta = json.loads((folder / META).read_bytes())
        index = (folder / INDEX).read_bytes()
        if meta["schema"] != SCHEMA or hashlib.sha256(index).hexdigest() != meta["index_sha256"]:
            raise IntegrityError(f"the image cache {folder} is damaged: remove the folder, it is built again")
        with np.load(folder / INDEX, allow_pickle=False) as tables:
            heights, widths, digests, hashes = (tables[name] for name in ("heights", "widths", "digests", "hashes"))
        size = int((heights * widths * 3).sum())
        if (folder / PIXELS).stat().st_size != size:
            raise IntegrityError(f"the image cache {folder} has another size than it was written with: remove the folder")
        with (folder / PIXELS).open("rb") as stream:
            # Read-only: a private writable map counts as memory, and the system refuses one larger than the machine's.
            mapped = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"the image cache {folder} cannot be read ({type(error).__name__}): remove the folder") from None
    data: npt.NDArray[np.uint8] = np.frombuffer(mapped, dtype=np.uint8)
    store = ImageStore(data, heights, widths, tuple(row.tobytes().hex() for row in digests), hashes, folder)
    store._mapped = mapped
    store._advise("MADV_RANDOM")
    return store
