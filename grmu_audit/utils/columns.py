"""Columns of a table as they are read: text, each word once in memory, or finite numbers."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.utils.notations import DECIMAL_COMMA, plain_text
from grmu_audit.utils.plugins import did_you_mean

LONGEST_FIELD = 1 << 17
"""Characters that a field may have (the csv module's own limit)."""
MOST_CELLS = 100_000_000
"""Cells that a table may have (CelebA's: 8 million)."""
_MOST_SHARED = 10_000
"""Different cells of a column that are held once."""
MOST_COLUMNS = 30_000
"""Columns that a table may have (scores of the 21,843 classes of ImageNet-21k fit)."""
Kind = Literal["text", "number", "skip"]
"""How a column is read; a skipped one is in the header only."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TextTable:
    """A table as it is in the file."""

    source: str
    """File name, for messages."""
    header: tuple[str, ...]
    """Column names."""
    rows: Sequence[int]
    """[n] line that each record starts on; the header is line 1."""
    columns: dict[str, list[str]]
    """Cells by column, without white space around them; empty text where a value is missing."""
    numbers: dict[str, Floats] = field(default_factory=dict)
    """[n] finite numbers by column: those read as numbers that hold nothing else; they are not among ``columns``."""
    index_columns: tuple[str, ...] = ()
    """Columns that the file itself calls an index (parquet written by pandas)."""

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[str]:
        """One column.

        Raises:
            InputError: there is none of that name; the message lists those that there are.
        """
        if name not in self.columns:
            near = did_you_mean(name, list(self.header))
            shown = ", ".join(self.header[:50])
            raise InputError(f"{self.source}: no column {name!r}{near}; columns: {shown}")
        return self.columns[name]


def is_index_name(name: str) -> bool:
    """Whether a column has a name that pandas or readr gives to an index without one.

    >>> is_index_name(""), is_index_name("Unnamed: 0"), is_index_name("__index_level_0__"), is_index_name("id")
    (True, True, True, False)
    """
    return (
        re.fullmatch(r"|unnamed[:_]+ ?\d+([._].*)?|__index_level_\d+__|__null_dask_index__|\.{3}\d+", name, re.IGNORECASE)
        is not None
    )


def all_text(name: str) -> Kind:
    """Every column is read as text."""
    return "text"


class NumberColumn:
    """A column of numbers as it is read, eight bytes a cell, beside the cells that are no finite number."""

    def __init__(self) -> None:
        self.values = array("d")
        self.odd: dict[int, str] = {}

    def append(self, cell: str) -> None:
        """Take the next cell."""
        value = number(cell)
        if value is None:
            self.odd[len(self.values)] = cell
        self.values.append(math.nan if value is None else value)

    def array(self) -> Floats:
        """[n] all values."""
        return np.frombuffer(self.values, dtype=np.float64) if self.values else np.zeros(0)

    def texts(self) -> list[str]:
        """[n] cells as text; numbers are formatted again."""
        return [self.odd[i] if i in self.odd else number_text(value) for i, value in enumerate(self.values)]


def number(cell: str) -> float | None:
    """The finite number that a cell holds, or None.

    >>> number("-1.5e3"), number("1_000"), number("inf"), number("")
    (-1500.0, None, None, None)
    """
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and cell.isascii() and "_" not in cell else None


_NUMERAL = r"[+-]?([0-9]{1,3}([.,' ][0-9]{3})+|[0-9]+)([.,][0-9]+)?"
_UNIT = re.compile(rf"[<>~≈$€£¥]+ ?{_NUMERAL}|([<>~≈] ?)?{_NUMERAL} ?(%|[^\W\d_]+|[°$€£¥/²³].*|[^\W\d_][^,;]*)")
_NOTATIONS = (
    (
        re.compile(r"[+-]?(\d{1,3}([.,' ]\d{3})+|\d{1,2}(,\d\d)+,\d{3})([.,]\d+)?", re.ASCII),
        "write numbers without signs between the thousands, with a decimal point",
    ),
    (DECIMAL_COMMA, "write numbers with a decimal point"),
    (re.compile(r"\(\d+([.,]\d+)*\)|\d+([.,]\d+)*-", re.ASCII), "write negative numbers with a minus in front"),
    (re.compile(r"['\"=]+[+-]?\d+([.,]\d+)*['\"]*", re.ASCII), "write numbers without quotes"),
)
"""Numbers as people and other programs write them, and what to do."""


def number_advice(cell: str) -> str:
    """How to write a number that a cell holds in a notation that is not read; empty where it holds none.

    >>> number_advice("38,1"), number_advice("(5)"), number_advice("red")
    ('write numbers with a decimal point', 'write negative numbers with a minus in front', '')
    """
    text = plain_text(cell)
    advice = next((advice for form, advice in _NOTATIONS if form.fullmatch(text)), "")
    if advice or text == cell or number(text) is None:
        return advice
    return "write numbers with the digits 0 to 9, a decimal point and the sign -"


def has_unit(cell: str) -> bool:
    """Whether a cell holds a number with a unit, a currency or a sign such as ``<``.

    >>> has_unit("5 mg"), has_unit("$5"), has_unit("A5")
    (True, True, False)
    """
    return _UNIT.fullmatch(plain_text(cell)) is not None


def number_text(value: float) -> str:
    """A number as a person would write it, which reads back as the same number.

    >>> number_text(3.0), number_text(0.1)
    ('3', '0.1')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def require_few_columns(name: str, count: int, most: int = MOST_COLUMNS, failure: type[InputError] = InputError) -> None:
    """Return when a table has no more columns than one can have.

    Raises:
        InputError: it has.
    """
    if count > most:
        raise failure(f"{name}: {count:,} columns, more than the {most:,} that such a table may have: is this the right file?")


def require_unique_columns(name: str, header: Sequence[str]) -> None:
    """Return when no column occurs twice in the header.

    Raises:
        InputError: one does.
    """
    repeated = sorted(column for column, count in Counter(header).items() if count > 1)
    if repeated:
        lacks = number(repeated[0]) is not None
        advice = "is the line with the names of the columns missing?" if lacks else "rename one of the two"
        raise InputError(f"{name}: column {repeated[0]!r} occurs twice in the header: {advice}")


def shared() -> Callable[[str], str]:
    """A function that gives the same object for equal cells, so that a column of labels takes a pointer a row.

    >>> one = shared()
    >>> one("".join(["-", "1"])) is one("-1")
    True
    """
    known: dict[str, str] = {}

    def one(cell: str) -> str:
        return known.setdefault(cell, cell) if len(known) < _MOST_SHARED else known.get(cell, cell)

    return one
