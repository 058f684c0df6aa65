"""Tables of plain text that fit the width of a terminal."""

from __future__ import annotations

import shutil
import textwrap
import unicodedata
from collections.abc import Sequence

NARROW = 80
"""Columns of a terminal whose width is unknown, such as a pipe."""
_LEAST = 12
"""Columns below which a column of words is not narrowed."""
_GAP = 2
_INDENT = "    "


def terminal_width() -> int:
    """Columns of the terminal, or of ``COLUMNS``; ``NARROW`` where there is neither."""
    return max(shutil.get_terminal_size((NARROW, 24)).columns, 40)


def fit_table(head: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], width: int) -> list[str]:
    """A table as lines of at most ``width``, as far as its longest word allows.

    A table that is too wide has its columns of words wrapped; if that is not enough, each row becomes a block of "title: cell".

    Args:
        head: titles.
        rows: cells; a cell may hold several lines.
        numeric: whether a column is right-aligned and never wrapped.
        width: columns of the terminal.

    >>> fit_table(["a", "b"], [["one", "1"], ["two", "22"]], [False, True], 80)
    ['a     b', 'one   1', 'two  22']
    """
    table = [head, *rows]
    widths = [max(max(map(text_width, cell.split("\n")), default=0) for cell in column) for column in zip(*table, strict=True)]
    narrowed = _narrowed(widths, numeric, width - _GAP * (len(widths) - 1))
    if narrowed is None:
        return _blocks(head, rows, width)
    return [line for row in table for line in _lines(row, narrowed, numeric)]


def _narrowed(widths: Sequence[int], numeric: Sequence[bool], available: int) -> list[int] | None:
    """Widths that fit, the widest columns of words narrowed first; None where they would become too narrow."""
    found = list(widths)
    while sum(found) > available:
        words = [i for i, number in enumerate(numeric) if not number and found[i] > _LEAST]
        if not words:
            return None
        widest = max(words, key=lambda i: found[i])
        found[widest] -= 1
    return found


def _lines(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> list[str]:
    """One row: as many lines as its tallest cell."""
    cells = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(map(len, cells))
    padded = [[*cell, *([""] * (height - len(cell)))] for cell in cells]
    gap = " " * _GAP
    return [
        gap.join(_pad(part, width, right) for part, width, right in zip(line, widths, numeric, strict=True)).rstrip()
        for line in zip(*padded, strict=True)
    ]


def _wrapped(cell: str, width: int) -> list[str]:
    return [part for line in cell.split("\n") for part in (_wrap(line, width) or [""])]


def _wrap(line: str, width: int) -> list[str]:
    """``textwrap.wrap``, by the columns that letters take: some take two, some none."""
    if text_width(line) == len(line):
        return textwrap.wrap(line, width)
    parts = [""]
    for word in line.split():
        gap = " " if parts[-1] else ""
        if text_width(parts[-1] + gap + word) <= width:
            parts[-1] += gap + word
            continue
        parts += [""] if parts[-1] else []
        for char in word:
            parts += [""] if text_width(parts[-1] + char) > width else []
            parts[-1] += char
    return parts


def _blocks(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Every row as a block: its first cell, then one line a cell."""
    lines: list[str] = []
    for row in rows:
        lines += _wrap(" ".join(row[0].split("\n")), width) or [""]
        for title, cell in zip(head[1:], row[1:], strict=True):
            if cell:
                text = f"{title}: {' '.join(cell.split(chr(10)))}"
                first, *more = _wrap(text, width - len(_INDENT))
                lines += [f"  {first}", *(_INDENT + part for part in more)]
    return lines


def text_width(text: str) -> int:
    """Columns that a text takes in a terminal.

    >>> text_width("日本"), text_width("e")
    (4, 1)
    """
    return sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.combining(char) or char == "\u200d":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _pad(text: str, width: int, right: bool) -> str:
    gap = " " * (width - text_width(text))
    return gap + text if right else text + gap
