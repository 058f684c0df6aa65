"""The image files of a listing: where they are, what is in them, and what is wrong with them."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from grmu_audit.data.images.decode import ImageSize, UndecodableError, read_image_size, workers
from grmu_audit.data.listing import Listing
from grmu_audit.errors import DataQualityError, InputError
from grmu_audit.utils import canonical_json
from grmu_audit.utils.table_files import Defects

T = TypeVar("T")
OnProgress = Callable[[int], None]
"""Receives how many more items are done."""
LARGEST_FILE = 256 << 20
"""Bytes that an image file may have."""
CHUNK = 32
"""Files that a worker takes at a time."""


@dataclass(frozen=True)
class FileInfo:
    """One readable image file."""

    sha256: bytes
    """Digest of the file."""
    size: ImageSize
    """Size of the image."""


def fingerprint(listing: Listing, salt: object) -> str:
    """SHA-256 over paths, sizes and times of change: the same while no file changes.

    Raises:
        InputError: files that are missing, no plain files, too large, or reached over a loop of links; all are counted, the
            first twenty named.
    """
    state = hashlib.sha256(canonical_json(salt))
    defects: list[str] = []
    for path in listing.paths:
        try:
            facts = (listing.root / path).stat()
            if not stat.S_ISREG(facts.st_mode):
                defects.append(f"{path}: not a plain file")
            elif facts.st_size > LARGEST_FILE:
                defects.append(f"{path}: larger than {LARGEST_FILE >> 20} MiB")
            else:
                state.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        except (OSError, ValueError) as error:
            defects.append(f"{path}: {getattr(error, 'strerror', None) or error}")
    if defects:
        raise InputError(
            _list_defects(listing, defects, f"under {listing.root} cannot be read", "restore them, or correct the table")
        )
    return state.hexdigest()


def inspect_files(listing: Listing, on_progress: OnProgress) -> list[FileInfo]:
    """Digest and size of every file, in the order of the listing.

    Raises:
        DataQualityError: files that are no images; all are counted, the first twenty named.
    """

    def one(path: str) -> FileInfo | str:
        """What one file is, or what is wrong with it."""
        try:
            content = (listing.root / path).read_bytes()
            return FileInfo(hashlib.sha256(content).digest(), read_image_size(content, listing.header.view.upright))
        except (UndecodableError, OSError) as error:
            return f"{path}: {error}"

    found = list(parallel(one, listing.paths, on_progress))
    refuse_images(listing, [defect for defect in found if isinstance(defect, str)])
    return [one for one in found if isinstance(one, FileInfo)]


def refuse_images(listing: Listing, defects: Sequence[str]) -> None:
    """Raise where there are defects.

    Raises:
        DataQualityError: there is at least one.
    """
    if defects:
        raise DataQualityError(
            _list_defects(listing, defects, "cannot be used as images, nothing was trained", "replace or remove them")
        )


def _list_defects(listing: Listing, defects: Sequence[str], what: str, advice: str) -> str:
    listed = Defects()
    listed.add(*(ascii(text)[1:-1] if not text.isprintable() else text for text in defects))
    head = f"{listing.header.name}: {len(defects)} of {len(listing.paths)} files {what}; {advice}"
    return "\n".join([head, *(f"  {line}" for line in listed.lines())])


def parallel(work: Callable[[str], T], items: Sequence[str], on_progress: OnProgress) -> Iterator[T]:
    """Results in order, computed by threads (decoding releases the interpreter lock)."""
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    pool = ThreadPoolExecutor(workers())
    try:
        for results in pool.map(lambda chunk: [work(item) for item in chunk], chunks):
            on_progress(len(results))
            yield from results
    finally:
        pool.shutdown(cancel_futures=True)  # an interruption waits for the chunks at work only


def relative(text: str, row: int, source: str) -> str:
    """A path of a table, safe to join with the root.

    Raises:
        InputError: it is empty, absolute, leads upwards, or holds what no file name should; with the row.

    >>> relative("train/1.jpg", 2, "labels.csv")
    'train/1.jpg'
    """
    parts = text.split("/")
    why = None
    if not text or not text.isprintable():
        why = "is empty or holds a character that cannot be printed"
    elif Path(text).is_absolute() or text.startswith(("/", "~")) or "\\" in text or ":" in parts[0]:
        why = "is not relative to the folder of images, with forward slashes"
    elif ".." in parts:
        why = "leads out of the folder of images"
    if why:
        raise InputError(f"{source}: row {row}: the path {text[:80]!a} {why}: correct it")
    return text
