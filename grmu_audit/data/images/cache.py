"""Making the cache: in parallel, in bounded memory, resumable, atomic, checked by digest.

A finished cache is a folder named by the SHA-256 of the image files and of how they are decoded, so that equal data is
decoded once wherever it is stored.  A second, quick name (paths, sizes, times of change) leads there without reading the files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from grmu_audit.data.dataset import Dataset
from grmu_audit.data.images.decode import UndecodableError, decode, frame, stored_size
from grmu_audit.data.images.files import FileInfo, fingerprint, inspect_files, parallel, refuse_images
from grmu_audit.data.images.near_duplicates import difference_hash
from grmu_audit.data.images.store import INDEX, META, PIXELS, SCHEMA, ImageStore, image_digest, offsets, open_store
from grmu_audit.data.listing import Listing
from grmu_audit.errors import EnvironmentFailure, IntegrityError
from grmu_audit.utils import canonical_json, write_atomic
from grmu_audit.utils.files import CACHE_VARIABLE, cache_folder
from grmu_audit.utils.progress import SILENT, Observer

DONE = "done.bin"
"""Digest and difference hash of the images that a build has finished, [n, 48] bytes; zeros where it has not."""
RECORD = 48
"""Bytes of one image in it."""
VERIFIED = "verified.json"
"""Size and time of change that the pixels had when all digests were last compared."""


def decode_listing(listing: Listing, observer: Observer = SILENT) -> Dataset:
    """The dataset of a listing, with its images decoded once and mapped from the cache.

    Raises:
        InputError: files are missing.
        DataQualityError: files are no images that can be used.
        EnvironmentFailure: the cache cannot be written, or the disk is full.
    """
    try:
        store = _stores(listing, observer)
    except OSError as error:
        hint = "free space, or " if error.errno == errno.ENOSPC else ""
        raise EnvironmentFailure(
            f"the image cache {cache_folder()} cannot be written ({error.strerror or error}): {hint}set {CACHE_VARIABLE}"
        ) from None
    return Dataset(listing.header, listing.frame, store, listing.excluded)


def _stores(listing: Listing, observer: Observer) -> ImageStore:
    """The images, and where a view from the files is wanted and some are reduced, the finished inputs beside them."""
    header = listing.header
    limit, view, out = header.longest_short_side, header.view, (header.image_size[1], header.image_size[2])
    as_stored = [] if view.upright else ["as stored"]

    def reduced(one: FileInfo) -> tuple[int, int]:
        return stored_size(one.size, limit)

    plan = _Plan([SCHEMA, limit, *as_stored], reduced, lambda content, shape: decode(content, shape, view.upright))
    store = _store(listing, plan, observer)
    if view.exact and int(np.minimum(store.heights, store.widths).max()) >= limit:
        salt = [SCHEMA, "finished inputs", *out, view.mode, view.shorter, view.interpolation, *as_stored]
        store.still = _store(listing, _Plan(salt, lambda one: out, lambda content, shape: frame(content, shape, view)), observer)
    return store


@dataclass(frozen=True)
class _Plan:
    """What a cache folder holds of each file."""

    salt: list[object]
    """What its name depends on, besides the files."""
    size: Callable[[FileInfo], tuple[int, int]]
    """Height and width that are stored."""
    pixels: Callable[[bytes, tuple[int, int]], npt.NDArray[np.uint8]]
    """From the content of a file to pixels of that size."""


def _store(listing: Listing, plan: _Plan, observer: Observer) -> ImageStore:
    folder, salt = cache_folder() / "images", plan.salt
    quick = folder / "by-stat" / f"{fingerprint(listing, salt)}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        made = folder / str(json.loads(quick.read_bytes())["key"])
        if made.is_dir():
            return _open_verified(made)
    with observer.progress(f"reading {listing.header.name}", len(listing.paths), "image") as tick:
        found = inspect_files(listing, tick)
    state = hashlib.sha256(canonical_json(salt))
    for one in found:
        state.update(one.sha256)
    made = folder / state.hexdigest()
    if not made.is_dir():
        _build(listing, found, plan, made, observer)
    write_atomic(quick, canonical_json({"key": made.name}))
    return _open_verified(made)


def _build(listing: Listing, found: list[FileInfo], plan: _Plan, made: Path, observer: Observer) -> None:
    """Write the folder under another name, then rename it; a build that was interrupted is continued."""
    partial = made.with_name(made.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(made.with_name(made.name + ".lock")):
        if made.is_dir():  # another process was faster
            return
        partial.mkdir(exist_ok=True, mode=0o700)
        sizes = np.array([plan.size(one) for one in found], dtype=np.int64)
        heights, widths = sizes[:, 0], sizes[:, 1]
        records = _fill(listing, plan, partial, found, sizes, observer)
        digests, hashes = records[:, :32], np.ascontiguousarray(records[:, 32:]).view(np.uint64)
        np.savez(partial / INDEX, heights=heights, widths=widths, digests=digests, hashes=hashes)
        index = hashlib.sha256((partial / INDEX).read_bytes()).hexdigest()
        write_atomic(partial / META, canonical_json({"schema": SCHEMA, "images": len(found), "index_sha256": index}))
        (partial / DONE).unlink()
        _stamp(partial)
        partial.rename(made)


@dataclass(frozen=True)
class _Writer:
    """Decodes single images into the open files of a build; used by several threads, each at its own place."""

    listing: Listing
    plan: _Plan
    found: list[FileInfo]
    heights: npt.NDArray[np.int64]
    widths: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    pixels: int
    """Descriptor of ``PIXELS``."""
    done: int
    """Descriptor of ``DONE``."""

    def __call__(self, item: str) -> str | None:
        """Write image number ``item`` unless it is there; returns why not."""
        index = int(item)
        shape = (int(self.heights[index]), int(self.widths[index]))
        start, size = int(self.starts[index]), shape[0] * shape[1] * 3
        before = os.pread(self.done, 32, RECORD * index)
        if any(before) and _digest(os.pread(self.pixels, size, start), shape) == before:
            return None
        path = self.listing.paths[index]
        try:
            content = (self.listing.root / path).read_bytes()
            if hashlib.sha256(content).digest() != self.found[index].sha256:
                return f"{path}: changed while the images were read: run the command again"
            image = self.plan.pixels(content, shape)
        except (UndecodableError, OSError) as error:
            return f"{path}: {error}"
        _write(self.pixels, np.ascontiguousarray(image).tobytes(), start)
        _write(self.done, bytes.fromhex(image_digest(image)) + difference_hash(image).tobytes(), RECORD * index)
        return None


def _fill(
    listing: Listing, plan: _Plan, partial: Path, found: list[FileInfo], sizes: npt.NDArray[np.int64], observer: Observer
) -> npt.NDArray[np.uint8]:
    """Decode what is not there yet; returns the records of ``DONE``."""
    heights, widths = sizes[:, 0], sizes[:, 1]
    starts = offsets(heights, widths)
    pixels = _open_sized(partial / PIXELS, int(starts[-1]))
    done = _open_sized(partial / DONE, RECORD * len(heights))
    write = _Writer(listing, plan, found, heights, widths, starts, pixels, done)
    try:
        with observer.progress(f"decoding {listing.header.name}", len(listing.paths), "image") as tick:
            defects = [defect for defect in parallel(write, [str(i) for i in range(len(heights))], tick) if defect]
        os.fsync(pixels)
    finally:
        os.close(pixels)
        os.close(done)
    if defects:
        shutil.rmtree(partial, ignore_errors=True)  # mended files will have another name
        refuse_images(listing, defects)
    return np.frombuffer((partial / DONE).read_bytes(), dtype=np.uint8).reshape(-1, RECORD)


def _digest(content: bytes, shape: tuple[int, int]) -> bytes:
    if len(content) != shape[0] * shape[1] * 3:
        return b""
    return bytes.fromhex(image_digest(np.frombuffer(content, dtype=np.uint8).reshape(*shape, 3)))


def _write(descriptor: int, content: bytes, start: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written


def _open_sized(path: Path, size: int) -> int:
    """A file of that size with its space reserved, so that a full disk is noticed at once; content stays."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(descriptor).st_size != size:
            os.ftruncate(descriptor, 0)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            os.ftruncate(descriptor, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open_verified(folder: Path) -> ImageStore:
    """The store; all digests are compared whenever the file is not the one that they were last compared with.

    Raises:
        IntegrityError: pixels are not those of their digests.
    """
    store = open_store(folder)
    try:
        known = json.loads((folder / VERIFIED).read_bytes())
    except (OSError, ValueError):
        known = None
    if known != _facts(folder):
        damaged = store.damaged()
        if damaged:
            raise IntegrityError(
                f"{len(damaged)} of {len(store)} images in the cache {folder} are not what was written: remove the folder, it is "
                "built again"
            )
        _stamp(folder)
    return store


def _facts(folder: Path) -> dict[str, int]:
    facts = (folder / PIXELS).stat()
    return {"size": facts.st_size, "mtime_ns": facts.st_mtime_ns, "inode": facts.st_ino}


def _stamp(folder: Path) -> None:
    write_atomic(folder / VERIFIED, canonical_json(_facts(folder)))


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One builder at a time; the others wait."""
    import fcntl

    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
