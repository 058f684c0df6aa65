"""Canonical JSON: one byte string per tree, so that equal documents have equal digests."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from grmu_audit.errors import InputError


def canonical_json(tree: object) -> bytes:
    r"""The one byte form of a tree of plain JSON types.

    Keys sorted by code point, UTF-8 without escapes beyond what JSON needs, no spaces, floats in Python's shortest form
    that reads back to the same number, and exactly one newline at the end (part of the bytes, and so of every digest).
    A tuple is written as a list.  ``1`` and ``1.0`` stay different: write counts as int.

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
    """What keeps the tree from being written, each with its path."""
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
    if any("\ud800" <= char <= "\udfff" for char in text):
        yield f"{path!a} holds a lone surrogate, which UTF-8 cannot write"
