"""Near-duplicates: images whose coarse pattern of light and dark is almost the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
BANDS = 8
"""Pieces of 16 bits that a hash is looked up by; two hashes with fewer differing bits than pieces share one."""
NEAR = 6
"""Differing bits of 128 up to which two images count as near-duplicates."""
AT_ONCE = 2_000_000
"""Pairs that are held in memory at a time."""
MOST_PAIRS = 200_000_000
"""Pairs that are compared; with more (plain images) nothing is counted."""


def difference_hash(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """[2] 128 bits of an image [height, width, 3]: is each cell of a coarse grid brighter than its neighbour.

    The grey image is averaged over 9 x 9 cells; 64 bits compare each of 8 x 8 cells with its right neighbour, 64 with
    the one below.  Brightness, contrast, size and recompression hardly move it (Krawetz 2013, both ways).

    >>> difference_hash(np.zeros((20, 30, 3), dtype=np.uint8)).tolist()
    [0, 0]
    """
    from PIL import Image

    cells = np.asarray(Image.fromarray(image).convert("L").resize((9, 9), Image.Resampling.BOX))
    bits = np.concatenate([(cells[:8, 1:] > cells[:8, :-1]).ravel(), (cells[1:, :8] > cells[:-1, :8]).ravel()])
    return np.packbits(bits).view(np.uint64)


def hashes_of(images: Iterable[npt.NDArray[np.uint8]]) -> Hashes:
    """[n, 2] hashes of images [height, width, 3]."""
    return np.array([difference_hash(image) for image in images], dtype=np.uint64).reshape(-1, 2)


def count_near_duplicates(found: Hashes, among: Hashes) -> npt.NDArray[np.int64] | None:
    """[n] how many of ``among`` [m, 2] are within ``NEAR`` bits of each of ``found`` [n, 2]; None with too many pairs.

    Exact: whatever is that near shares at least one of the ``BANDS`` pieces, and a pair counts at the first that it shares.
    Memory is bounded by ``AT_ONCE`` pairs.
    """
    pieces, others = found.view(np.uint16).reshape(len(found), -1), among.view(np.uint16).reshape(len(among), -1)
    counts, total = np.zeros(len(found), dtype=np.int64), 0
    for band in range(BANDS):
        order = np.argsort(others[:, band], kind="stable")
        keys = others[order, band]
        low, high = (np.searchsorted(keys, pieces[:, band], side=side) for side in ("left", "right"))
        total += int((high - low).sum())
        if total > MOST_PAIRS:
            return None
        for block in _blocks(high - low):
            rows, mates = _pairs(block, low, high, order)
            near = np.bitwise_count(found[rows] ^ among[mates]).sum(1) <= NEAR
            rows, mates = rows[near], mates[near]
            counted = (pieces[rows, :band] == others[mates, :band]).any(1)
            counts += np.bincount(rows[~counted], minlength=len(found))
    return counts


def _blocks(sizes: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Rows in blocks of about ``AT_ONCE`` pairs."""
    number = np.cumsum(sizes) // AT_ONCE
    for block in np.unique(number):
        yield np.flatnonzero(number == block)


def _pairs(
    block: npt.NDArray[np.int64], low: npt.NDArray[np.int64], high: npt.NDArray[np.int64], order: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Every row of the block with every candidate between its ``low`` and ``high`` in ``order``."""
    sizes = (high - low)[block]
    rows = np.repeat(block, sizes)
    inside = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rows, order[np.repeat(low[block], sizes) + inside]
