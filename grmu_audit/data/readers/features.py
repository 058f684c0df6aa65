"""Columns of a table as features: which ones are, of what kind, and what looks like a mistake."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.utils.columns import TextTable, has_unit, is_index_name, number, number_advice, number_text
from grmu_audit.utils.notations import DOUBTFUL, MISSING, LabelColumn, doubtful_categories, plain_text

Parsed = npt.NDArray[np.float32] | list[str]
"""Numbers (NaN where a value is missing), or the cells of a category."""
NEARLY_ALL = 0.9
"""Share of numbers from which a cell that is none is taken for a mistake."""
MOST = 0.5
"""Share of numbers from which a column that also holds other cells is warned about."""
_ROW_NAMES = frozenset({"index", "level_0", "rownames", "row.names", "row_names", "rowid", "row_id", "row"})
"""Names, in small letters, of columns that hold row numbers, if they hold distinct whole numbers."""
_ID_NAME = re.compile(r"(.*[^a-z])?(id|nr|no|number|num|key|code)\.?", re.IGNORECASE)
"""Names of columns that number or name the rows."""
_SHOWN = 6
_SEVERAL, _MANY = 10, 100
"""Rows from which a column of numbers that differ in every row is warned about; where they start at 0 or 1, and elsewhere."""


@dataclass(frozen=True)
class Feature:
    """One feature column."""

    name: str
    """Column."""
    values: Parsed
    """[n] the column's values."""
    fact: str
    """Kind, range and number of values, for people."""
    warnings: tuple[str, ...] = ()
    """What looks like a mistake and may be meant."""


def feature_columns(table: TextTable, chosen: Sequence[str], taken: Collection[str | None]) -> tuple[list[str], list[str]]:
    """The chosen columns, or all without another role that are no index; and a sentence for each index that is left out.

    Raises:
        InputError: a chosen column is missing, or none is left.
    """
    for name in chosen:
        table.column(name)
    free = [name for name in table.header if name not in taken]
    index = [] if chosen else [name for name in free if _is_index(table, name)]
    names = list(chosen) or [name for name in free if name not in index]
    if not names:
        raise InputError(f"{table.source}: no column is left as a feature: name them under 'features'")
    return names, [f"column {name!r} is left out: {_why_left_out(table, name)}" for name in index]


def _why_left_out(table: TextTable, name: str) -> str:
    if not any(table.column(name)):
        return "it has neither a name nor a value"
    return "it is an index that another program wrote, not a feature (name it as a feature if it is one)"


def _is_index(table: TextTable, name: str) -> bool:
    if name in table.index_columns or is_index_name(name):
        return True
    cells = table.column(name)
    return name.lower() in _ROW_NAMES and len(set(cells)) == len(cells) and all(re.fullmatch(r"\d+", cell) for cell in cells)


def parse_feature(column: LabelColumn, *, categorical: bool = False, named: bool = False) -> Feature:
    """A column as numbers where all its cells are, else as categories.

    Args:
        column: the cells.
        categorical: whether it holds categories, whatever they look like.
        named: whether its values are declared labels too, so that their notations are not looked at again.

    Raises:
        InputError: nearly all cells are numbers, or would be in another notation; with the row of the first that is none.
    """
    numbers = [math.nan if categorical else _number(cell) for cell in column.cells]
    odd = [i for i, value in enumerate(numbers) if value is None]
    if categorical or odd:
        warnings = [] if categorical else _check_odd(column, odd) or _unique_texts(column)
        warnings += [] if categorical or named or warnings else doubtful_categories(column)
        return Feature(column.name, list(column.cells), _category_fact(column), tuple(warnings))
    values = np.array(numbers, dtype=np.float64)
    with np.errstate(over="ignore"):  # becomes infinite, and such a row is left out and counted
        parsed = values.astype(np.float32)
    return Feature(column.name, parsed, _number_fact(column.name, values), tuple(_doubtful_numbers(column, values, parsed)))


def _number(cell: str) -> float | None:
    """A number as programs write it, NaN for an empty cell, None for anything else (Python would take ``1_0`` for 10)."""
    if not cell:
        return math.nan
    try:
        return float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        return None


def _check_odd(column: LabelColumn, odd: Sequence[int]) -> list[str]:
    """A warning where a column of mostly numbers also holds other cells.

    Raises:
        InputError: the other cells are mistakes in all likelihood.
    """
    filled = sum(map(bool, column.cells))
    cells = Counter(column.cells[i] for i in odd)
    first = column.cells[odd[0]]
    plain = (filled - len(odd)) / filled
    notated = sum(count for cell, count in cells.items() if number_advice(cell)) / filled
    units = sum(count for cell, count in cells.items() if has_unit(cell)) / filled
    missing = all(map(_means_missing, cells))
    where = f"{column.source}: row {column.rows[odd[0]]}: {column.name} is {first[:60]!r}"
    if plain + notated >= NEARLY_ALL or (missing and plain >= MOST):
        raise InputError(
            f"{where}, and {filled - len(odd)} of the column's {filled} cells are plain numbers: {_advice(first)}; if the "
            "column holds categories, say so with --categorical (in a manifest: categorical)"
        )
    what = (
        "most cells are numbers"
        if plain >= MOST
        else "the other cells are numbers"
        if missing and plain > 0
        else "the cells look like numbers with units"
        if plain + units >= NEARLY_ALL
        else ""
    )
    advice = f"{_advice(first)}{'' if missing else ' if it is a number'}"
    return [f"{where}, where {what}: the column counts as categories ({advice})"] if what else []


def _unique_texts(column: LabelColumn) -> list[str]:
    """A warning where nearly every row has a category of its own."""
    filled = [cell for cell in column.cells if cell]
    if len(filled) < 20 or len(set(filled)) < NEARLY_ALL * len(filled):
        return []
    return [f"{column.source}: {column.name} has another text in nearly every row: is it a name, a date or free text?"]


def _means_missing(cell: str) -> bool:
    return plain_text(cell).lower() in MISSING | DOUBTFUL


def _advice(cell: str) -> str:
    if _means_missing(cell):
        return "leave the cell empty where the value is missing (the row is then left out and counted)"
    return number_advice(cell) or ("write the number without its unit" if has_unit(cell) else "correct the cell")


def _doubtful_numbers(column: LabelColumn, values: npt.NDArray[np.float64], parsed: npt.NDArray[np.float32]) -> list[str]:
    """Numbers that may be codes, row numbers or names of rows, or that are no inputs of a network."""
    said = []
    endless = [
        i for i in np.flatnonzero(~np.isfinite(parsed)).tolist() if column.cells[i] and not _means_missing(column.cells[i])
    ]
    if endless:
        said.append(
            f"{column.source}: row {column.rows[endless[0]]}: {column.name} is {column.cells[endless[0]][:60]!r}: "
            f"{len(endless)} rows without a finite number are left out"
        )
    known = parsed[np.isfinite(parsed)]
    cells, kept = {cell for cell in set(column.cells) if number(cell) is not None}, len(np.unique(known))
    if len(known) >= _SEVERAL and kept < NEARLY_ALL * len(cells) and kept < NEARLY_ALL * len(set(map(Decimal, cells))):
        said.append(
            f"{column.source}: {column.name} holds {len(cells)} different numbers, and {kept} with the 7 digits of an input: "
            "is it an id or a time?"
        )
    return said or _row_numbers(column, values)


def _row_numbers(column: LabelColumn, values: npt.NDArray[np.float64]) -> list[str]:
    code = next((cell for cell in column.cells if re.fullmatch(r"0\d+", cell)), None)
    if code is not None:
        return [f"{column.source}: {column.name} holds {code!r}: numbers with leading zeros may be codes (--categorical)"]
    n = len(values)
    if n < _SEVERAL or not np.array_equal(values, np.floor(values)) or len(np.unique(values)) < n:
        return []
    start = values.min()
    if np.array_equal(np.sort(values) - start, np.arange(n)) and (start in (0, 1) or n >= _MANY):
        return [f"{column.source}: {column.name} counts the rows from {start:.0f} to {values.max():.0f}: is it a feature?"]
    if _ID_NAME.fullmatch(column.name):
        return [f"{column.source}: {column.name} is another whole number in every row: is it a feature?"]
    return []


def _number_fact(name: str, values: npt.NDArray[np.float64]) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return f"{name}: number, no values"
    empty = f", {len(values) - len(known)} missing" if len(known) < len(values) else ""
    low, high = (number_text(float(value)) for value in (known.min(), known.max()))
    return f"{name}: number, {low} to {high}, {len(np.unique(known))} values{empty}"


def _category_fact(column: LabelColumn) -> str:
    counts = Counter(cell for cell in column.cells if cell)
    shown = ", ".join(value[:40] for value, _ in counts.most_common(_SHOWN)) + (", ..." if len(counts) > _SHOWN else "")
    empty = f", {len(column.cells) - counts.total()} missing" if counts.total() < len(column.cells) else ""
    return f"{column.name}: categories, {len(counts)} values{f' ({shown})' if counts else ''}{empty}"
