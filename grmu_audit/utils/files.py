"""Reading plain files alone, bounded; atomic writes, the cache folder, and what a file is by its first bytes."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from grmu_audit.errors import EnvironmentFailure, InputError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe (write its content to a file first)"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def open_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a plain file to read; never waits for a pipe, and never reads a device.

    Raises:
        OSError: there is none of that name, it cannot be read, or it is a folder, a pipe, a device or a socket; ``strerror``
            says which.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((words for test, words in _KINDS if test(mode)), "no plain file")
        raise OSError(errno.EINVAL, f"it is {kind}, where a plain file is needed", os.fspath(path))
    return os.fdopen(descriptor, "rb")


def read_file(path: str | os.PathLike[str], largest: int) -> bytes:
    """All bytes of a plain file.

    Args:
        path: the file.
        largest: bytes that it may have; not one more than that is read.

    Raises:
        OSError: as for ``open_file``, or it is larger.
    """
    with open_file(path) as stream:
        content = stream.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"it has more than the {largest:,} bytes that such a file may have", os.fspath(path))
    return content


def write_atomic(path: str | os.PathLike[str], content: bytes, mode: int = 0o644) -> Path:
    """Write to a temporary name in the same folder, sync, rename; missing folders are created.

    Args:
        path: where to; an existing file is replaced, a symbolic link is replaced by the file itself.
        content: all bytes of the file.
        mode: permission bits of the new file (the process umask still applies).

    Returns:
        The path written.

    Raises:
        EnvironmentFailure: the folder cannot be written, or the disk is full; the old file is then untouched.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_new(temporary, content, mode)
        temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise EnvironmentFailure(
            f"cannot write {target}: {error.strerror or error}; check the path, its permissions and the free space"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return target


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Write and sync a file that does not exist yet.

    Raises:
        OSError: it exists, or cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


@contextlib.contextmanager
def open_table(path: Path) -> Iterator[IO[bytes]]:
    """``open_file`` for a table of the caller.

    Raises:
        InputError: as for ``open_file``, or reading it fails later.
    """
    try:
        with open_file(path) as stream:
            yield stream
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: correct the path") from None


def _sync_folder(folder: Path) -> None:
    """Make the rename durable where the platform can sync a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


CACHE_VARIABLE = "GRMU_AUDIT_CACHE"
"""Environment variable with the folder of caches."""


def cache_folder() -> Path:
    """Folder of all caches: ``$GRMU_AUDIT_CACHE``, else ``grmu-audit`` in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grmu-audit"


def listed_in(variable: str) -> list[str]:
    """What an environment variable lists, separated like ``PATH``; nothing where it is not set or empty.

    Raises:
        InputError: it holds separators alone, as where the variables that it was composed of are not set: to take that for
            nothing would drop what an operator requires.
    """
    text = os.environ.get(variable, "")
    found = [item for item in text.split(os.pathsep) if item.strip()]
    if text and not found:
        raise InputError(f"{variable} is {text!r}, which names nothing: unset it, or list what counts")
    return found


_SIGNATURES = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer in place of the file (fetch the file with 'git lfs pull')"),
    (b"/annex/objects/", "a git-annex pointer in place of the file (fetch the file with 'git annex get')"),
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"\x1f\x8b", "a file compressed with gzip (unpack it)"),
    (b"BZh", "a file compressed with bzip2 (unpack it)"),
    (b"\xfd7zXZ\x00", "a file compressed with xz (unpack it)"),
    (b"\x28\xb5\x2f\xfd", "a file compressed with zstd (unpack it)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"PK\x03\x04", "a zip archive (a spreadsheet?)"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet or document of Microsoft Office"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"GGUF", "a GGUF file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x00\x00\x01\x00", "an icon (ICO)"),
    (b"8BPS", "a Photoshop document"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"II+\x00", "a TIFF image"),
    (b"MM\x00+", "a TIFF image"),
    (b"icns", "an icon (ICNS)"),
    (b"DDS ", "a DDS texture"),
    (b"qoif", "a QOI image"),
    (b"v/1\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"\x01\xda", "an SGI image"),
    (b"%!PS", "a PostScript file"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"FLV\x01", "a video"),
    (b"\x00\x05\x16\x07", "a file of macOS beside the real one (the one whose name does not begin with '._')"),
    (b"\x7fELF", "a program"),
    (b"/9j/", "an image as base64 text (decode it)"),
    (b"iVBORw0KGgo", "an image as base64 text (decode it)"),
    (b"data:image/", "an image as base64 text (decode it)"),
)
"""First bytes of files that are given in place of others, and what such a file is."""
_BRANDS = {"hei": "a HEIC image", "hev": "a HEIC image", "mif": "a HEIF image", "avi": "an AVIF image"}
"""Brands of ISO media files; any other is a video."""
HEAD = 512
"""Bytes that ``content_kind`` looks at."""


def content_kind(head: bytes) -> str:
    """What a file is by its first bytes, whatever its name says; empty where they tell nothing.

    >>> content_kind(b"<!DOCTYPE html><html>"), content_kind(b"id,split")
    ('an HTML page (a login or error page of the server that it was downloaded from?)', '')
    """
    known = next((what for mark, what in _SIGNATURES if head.startswith(mark)), "")
    return known or _container_kind(head) or _text_kind(head[:HEAD].removeprefix(b"\xef\xbb\xbf").lstrip().lower())


def _container_kind(head: bytes) -> str:
    """Formats whose mark is not at the start, or is not one text."""
    if head[:1] == b"\0" and head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:11].decode("ascii", "replace"), "a video")
    if head[:4] == b"RIFF":
        return "a WebP image" if head[8:12] == b"WEBP" else "a sound or video file"
    if head[257:262] == b"ustar":
        return "a tar archive (unpack it)"
    if head[128:132] == b"DICM":
        return "a DICOM image"
    if re.match(rb"P[1-7]\s+(#[^\n]*\n\s*)?\d|\x0a[\x00-\x05]\x01[\x01\x02\x04\x08]", head):
        return "a PNM image" if head[:1] == b"P" else "a PCX image"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 30:
        return "a safetensors file"
    return "a pickle" if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") else ""


def _text_kind(text: bytes) -> str:
    """Markup and JSON, which are text as tables are; in small letters, without blanks before it."""
    if text.startswith((b"<svg", b"<?xml")) and b"<svg" in text:
        return "an SVG drawing"
    if text.startswith((b"<!doctype html", b"<html", b"<head")) or (text.startswith(b"<!--") and b"<html" in text):
        return "an HTML page (a login or error page of the server that it was downloaded from?)"
    if text.startswith((b'{"', b"{\n", b"[{", b"[\n")):
        return "JSON"
    return "an XML document" if text.startswith((b"<?xml", b"<error")) else ""
