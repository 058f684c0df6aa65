"""Canonical JSON, digests, folder manifests."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from grmu_audit.errors import InputError, IntegrityError, NotFoundError
from grmu_audit.utils.files import open_file


def canonical_json(tree: object) -> bytes:
    r"""The one byte form of a tree of plain JSON types.

    Keys sorted by code point, UTF-8 without escapes beyond what JSON needs, no spaces, floats in Python's shortest form
    that reads back to the same number, and exactly one newline at the end (part of the bytes, and so of every digest).
    A tuple is written as a list.  ``1`` and ``1.0`` are different: write counts as int.

    Raises:
        InputError: a number that is not finite, a key that is not text, text that is not valid Unicode (a lone surrogate), a
            container that holds itself, or a type that JSON does not know; the message names the path (``$.metrics[3].value``).

    >>> canonical_json({"b": [1, 0.5, None], "a": "é"})
    b'{"a":"\xc3\xa9","b":[1,0.5,null]}\n'
    """
    try:
        defects = [defect for _, defect in zip(range(20), _defects(tree, "$"), strict=False)]
    except RecursionError:
        raise InputError("cannot write as canonical JSON: nested too deeply, or a container holds itself") from None
    if defects:
        raise InputError("cannot write as canonical JSON: " + "; ".join(defects))
    text = json.dumps(tree, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return (text + "\n").encode("utf-8")


def _defects(node: object, path: str) -> Iterator[str]:
    """What prevents the tree from being written, each with its path."""
    if type(node) is dict:
        yield from _dict_defects(node, path)
    elif type(node) in (list, tuple):
        for index, item in enumerate(node):  # type: ignore[var-annotated,arg-type]
            yield from _defects(item, f"{path}[{index}]")
    elif isinstance(node, str):
        yield from _text_defects(node, path)
    elif type(node) is float:
        if not math.isfinite(node):
            yield f"{path} is {node}: store null and the reason instead"
    elif node is not None and type(node) not in (bool, int):
        yield f"{path} is of type {type(node).__name__}: convert it to a plain JSON type first"


def _dict_defects(node: dict[object, object], path: str) -> Iterator[str]:
    for key, item in node.items():
        if type(key) is not str:
            yield f"{path} has the key {key!r} of type {type(key).__name__}: keys must be text"
            continue
        where = f"{path}.{key}"
        yield from _text_defects(key, where)
        yield from _defects(item, where)


def _text_defects(text: str, path: str) -> Iterator[str]:
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        yield f"{path!a} holds a lone surrogate, which UTF-8 cannot write"


LARGEST_JSON = 64 << 20
"""Bytes that a JSON document may have: read, it takes about ten times as much memory."""
_LARGEST_WHOLE = 1 << 63


def parse_json(content: bytes, largest: int = LARGEST_JSON) -> Any:
    """A JSON document of this project's own kinds, with every number in the range that numbers have here.

    Args:
        content: UTF-8.
        largest: bytes that the document may have.

    Raises:
        ValueError: larger than that, not UTF-8, not JSON, nested too deeply, a key that stands twice, or a number that is not
            finite or a whole one beyond 64 bits.

    >>> parse_json(b'{"a": 1e999}')
    Traceback (most recent call last):
    ...
    ValueError: the number 1e999 is out of range
    """
    if len(content) > largest:
        raise ValueError(f"{len(content):,} bytes, more than the {largest:,} that such a file may have")
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_without_repeats,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:24]} is out of range")
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or not -_LARGEST_WHOLE <= (number := int(text)) < _LARGEST_WHOLE:
        raise ValueError(f"the number {text[:24]} is out of range")
    return number


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {repeated[:80]!r} occurs twice")
    return tree


_CHUNK = 1 << 20


class FileEntry(TypedDict):
    """One file of a folder manifest."""

    size: int
    """Bytes."""
    sha256: str
    """64 hex digits."""


def sha256_hex(content: bytes) -> str:
    """SHA-256 as 64 hex digits.

    >>> sha256_hex(b"abc")[:16]
    'ba7816bf8f01cfea'
    """
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, read in pieces of 1 MiB.

    Raises:
        NotFoundError: no such file.
        InputError: it cannot be read.
    """
    return _file_entry(Path(path))["sha256"]


def folder_manifest(folder: str | os.PathLike[str]) -> dict[str, FileEntry]:
    """Size and SHA-256 of every file below a folder, keyed by relative POSIX path, sorted.

    Empty folders leave no trace.  Anything that is neither a plain file nor a folder is refused, symbolic links above all: what
    they point to may change while the manifest stays the same.

    Raises:
        NotFoundError: no such folder.
        IntegrityError: a symbolic link, a socket, a device, or a name that is not valid Unicode.
    """
    root = Path(folder)
    if root.is_symlink() or not root.is_dir():
        raise NotFoundError(f"no folder {root}: give an existing folder that is not a symbolic link")
    entries: dict[str, FileEntry] = {}
    for base, names, files in os.walk(root, onerror=_walk_failed, followlinks=False):
        for name in (*names, *files):
            path = Path(base, name)
            _refuse_odd(path, root)
            if not path.is_dir():
                entries[path.relative_to(root).as_posix()] = _file_entry(path)
    return dict(sorted(entries.items()))


def manifest_sha256(manifest: Mapping[str, Mapping[str, object]]) -> str:
    """SHA-256 over the canonical JSON of a folder manifest: independent of the order of its keys.

    >>> manifest_sha256({}) == sha256_hex(b"{}\\n")
    True
    """
    return sha256_hex(canonical_json({name: dict(entry) for name, entry in manifest.items()}))


def _walk_failed(error: OSError) -> None:
    raise InputError(f"cannot read {error.filename}: {error.strerror or error}") from error


def _refuse_odd(path: Path, root: Path) -> None:
    relative = path.relative_to(root)
    try:
        str(relative).encode("utf-8")
    except UnicodeEncodeError:
        raise IntegrityError(f"{str(relative)!a} in {root} is not a valid Unicode name: rename or remove it") from None
    if path.is_symlink():
        raise IntegrityError(f"{relative} in {root} is a symbolic link: a manifest holds plain files only, put the file there")
    if not (path.is_dir() or path.is_file()):
        raise IntegrityError(f"{relative} in {root} is neither a file nor a folder: remove it")


def _file_entry(path: Path) -> FileEntry:
    digest, size = hashlib.sha256(), 0
    try:
        with open_file(path) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}: check the path") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return {"size": size, "sha256": digest.hexdigest()}
