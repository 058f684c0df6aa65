"""Reading a table from disk, bounded, with the row of every defect: CSV or parquet, as text or as numbers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.utils.clock import Deadline
from grmu_audit.utils.columns import (
    LONGEST_FIELD,
    MOST_CELLS,
    Kind,
    NumberColumn,
    TextTable,
    all_text,
    require_few_columns,
    require_unique_columns,
    shared,
)
from grmu_audit.utils.files import HEAD, content_kind, open_table
from grmu_audit.utils.parquet import read_parquet

LONGEST_LINE = 1 << 20
"""Bytes that a line may have."""
LONGEST_RECORD = 16 << 20
"""Characters that a record of CSV may have over all its lines."""
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", "^": "carets", "~": "tildes", ":": "colons", "\x01": "control signs"}
SEPARATORS |= {"\x1f": "control signs", "\uff0c": "full-width commas", "\u060c": "Arabic commas", "\u3001": "ideographic commas"}
"""Separators of other programs instead of commas."""


_COMMENTS = ("#", "%", "//", "@relation")
"""First signs of a line that is a comment, or the head of another format."""


def read_csv(
    path: Path, kind_of: Callable[[str], Kind] = all_text, check_header: Callable[[Sequence[str]], None] = lambda names: None
) -> TextTable:
    """Read a CSV file with a header line.

    Args:
        path: the file, UTF-8 (a byte-order mark is skipped).
        kind_of: how the column of a name is read.
        check_header: raises where the names of the columns are refused, before a row is read.

    Raises:
        InputError: the file is missing or empty, not UTF-8, not well-formed, a column repeats, a row has too many or too few
            cells, other signs than commas stand between them, or a line or field is too long; with the row.
    """
    with open_table(path) as stream:
        refuse_kind(path.name, stream.read(HEAD))
        stream.seek(0)
        csv.field_size_limit(LONGEST_FIELD)
        return _table(csv_records(_lines(stream, path.name), path.name), path.name, kind_of, check_header)


def read_whitespace_table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines of words separated by blanks, each with its number; blank lines are left out.

    Raises:
        InputError: missing, not UTF-8, or a line is too long.
    """
    with open_table(path) as stream:
        refuse_kind(path.name, stream.read(HEAD))
        stream.seek(0)
        deadline = Deadline(path.name)
        for number, line in enumerate(_lines(stream, path.name), start=1):
            deadline.check()
            if words := line.split():
                yield number, words


def _lines(stream: IO[bytes], name: str) -> Iterator[str]:
    number = 0
    while raw := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            raise InputError(f"{name}: row {number} is longer than {LONGEST_LINE >> 20} MiB: is this a table of labels?")
        if b"\0" in raw:
            raise InputError(f"{name}: row {number} holds a NUL byte: save the table as plain CSV in UTF-8")
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{name}: row {number} is not UTF-8: save the table as CSV in UTF-8") from None


def refuse_kind(name: str, head: bytes, failure: type[InputError] = InputError) -> None:
    """Return unless the first bytes show that a file is no table of text.

    Raises:
        InputError: it is something else, which is said.
    """
    if kind := content_kind(head):
        raise failure(f"{name}: it looks like {kind}: give a table as CSV with commas in UTF-8, or as parquet")


def csv_records(lines: Iterable[str], name: str, failure: type[InputError] = InputError) -> Iterator[tuple[int, list[str]]]:
    """Records of CSV text that are not blank, each with the line that it starts on, cells without white space around them.

    Raises:
        InputError: (as ``failure``) not well-formed, a record is too long, or reading took too long.
    """
    deadline, line, length = Deadline(name, failure), 1, 0

    def bounded() -> Iterator[str]:
        """The lines, while the record that they belong to is not too long."""
        nonlocal length
        for text in lines:
            deadline.check()
            length += len(text)
            if length > LONGEST_RECORD:
                raise failure(f"{name}: row {line} is longer than {LONGEST_RECORD >> 20} MiB: is a quotation mark left open?")
            yield text

    reader = csv.reader(bounded(), strict=True)
    try:
        for cells in reader:
            if cells:
                yield line, [cell.strip() for cell in cells]
            line, length = reader.line_num + 1, 0
    except csv.Error as error:
        why = "its lines end with a carriage return alone, as on old Macs" if "new-line character" in str(error) else error
        raise failure(f"{name}: row {line} is not well-formed CSV ({why}): correct it") from None


def _table(
    records: Iterator[tuple[int, list[str]]],
    name: str,
    kind_of: Callable[[str], Kind],
    check_header: Callable[[Sequence[str]], None],
) -> TextTable:
    header, records = _header(records, name)
    require_few_columns(name, len(header))
    require_unique_columns(name, header)
    check_header(header)
    one, rows = shared(), list[int]()
    texts: dict[int, list[str]] = {i: [] for i, column in enumerate(header) if kind_of(column) == "text"}
    numbers = {i: NumberColumn() for i, column in enumerate(header) if kind_of(column) == "number"}
    used = len(texts) + len(numbers)
    for line, cells in records:
        if len(cells) != len(header):
            if any(len(cells) == 1 and cells[0].count(sign) == len(header) - 1 for sign in SEPARATORS):
                check_separator(name, cells)
            raise InputError(
                f"{name}: row {line} has {len(cells)} cells where {len(header)} are expected: {width_advice(cells, header)}"
            )
        rows.append(line)
        if len(rows) * used > MOST_CELLS:
            raise InputError(f"{name}: row {line} is beyond {MOST_CELLS:,} cells: split the table, or give parquet")
        for i, store in texts.items():
            store.append(one(cells[i]))
        for i, values in numbers.items():
            values.append(cells[i])
    found = {header[i]: values for i, values in numbers.items()}
    columns = {header[i]: store for i, store in texts.items()} | {k: v.texts() for k, v in found.items() if v.odd}
    return TextTable(name, tuple(header), tuple(rows), columns, {k: v.array() for k, v in found.items() if not v.odd})


def _header(records: Iterator[tuple[int, list[str]]], name: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns, and the records below them."""
    first = next(records, None)
    if first is None:
        raise InputError(f"{name}: the file is empty: it needs a header line and rows")
    below = _without_title(records, name, first[1])
    check_separator(name, first[1])
    return first[1], below


def _without_title(records: Iterator[tuple[int, list[str]]], name: str, header: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The records below the header.

    Raises:
        InputError: the header is one cell of no other separator, and the next row has several.
    """
    if len(header) != 1 or header[0].startswith(_COMMENTS) or any(sign in header[0] for sign in SEPARATORS):
        return records
    below = [record for record in (next(records, None),) if record is not None]
    if below and len(below[0][1]) > 2:
        raise InputError(f"{name}: row 1 is {header[0][:40]!r}: a title? remove it, so that the names of the columns come first")
    return chain(below, records)


def check_separator(name: str, cells: Sequence[str], failure: type[InputError] = InputError) -> None:
    """Return unless the one cell that a row has is several, between which no comma stands.

    Raises:
        InputError: they are separated by semicolons, tabs, bars or blanks.
    """
    if cells and cells[0].lower().startswith("sep="):
        raise failure(
            f"{name}: row 1 is {','.join(cells)[:20]!r}, which only Excel reads: remove that line, and separate cells with commas"
        )
    if len(cells) != 1 and not (cells and cells[0].startswith("# ")):
        return
    if cells[0].startswith(_COMMENTS):
        raise failure(f"{name}: row 1 is a comment ({cells[0][:40]!r}): remove it, so that the names of the columns come first")
    found = next((words for sign, words in SEPARATORS.items() if sign in cells[0]), "blanks" if cells[0].count(" ") > 1 else None)
    if found is not None:
        raise failure(f"{name}: the cells are separated by {found}: save the table as CSV with commas")


def width_advice(cells: Sequence[str], header: Sequence[str]) -> str:
    """What is probably wrong with a row of another number of cells than the header.

    >>> width_advice(["1", "2", ""], ["id", "age"])
    'a comma stands at its end: remove it, or give the column a name'
    """
    if len(cells) == len(header) + 1 and not cells[-1]:
        return "a comma stands at its end: remove it, or give the column a name"
    if len(cells) == len(header) + 1:
        return "quote cells that hold a comma (a decimal comma?), or name the column of the index"
    return "correct it" if len(cells) < len(header) else "quote cells that hold a comma"


def read_table(
    path: Path, kind_of: Callable[[str], Kind] = all_text, check_header: Callable[[Sequence[str]], None] = lambda names: None
) -> TextTable:
    """Read CSV or, by its first bytes, parquet.

    Args:
        path: the file.
        kind_of: how the column of a name is read.
        check_header: raises where the names of the columns are refused; before a row of a CSV file is read.

    Raises:
        InputError: as ``read_csv`` and ``read_parquet``.
    """
    with open_table(path) as stream:
        parquet = stream.read(4) == b"PAR1"
    if not parquet:
        return read_csv(path, kind_of, check_header)
    table = read_parquet(path, kind_of)
    check_header(table.header)
    return table


MOST_DEFECTS = 20
"""Defects that a message spells out; the rest is counted."""


@dataclass
class Defects:
    """What is wrong with a table, collected so that one message can list it.

    >>> defects = Defects()
    >>> defects.add_rows("no id", np.array([False, True]))
    >>> defects.lines()
    ['row 2: no id']
    """

    count: int = 0
    """Number of defects."""
    shown: list[str] = field(default_factory=list)
    """The first ``MOST_DEFECTS``."""

    def add(self, *texts: str) -> None:
        """Take in defects."""
        self.count += len(texts)
        self.shown += texts[: MOST_DEFECTS - len(self.shown)]

    def add_rows(self, what: str, bad: npt.NDArray[np.bool_], show: Callable[[int], str] | None = None) -> None:
        """Take in every bad row, by its number from 1.

        Args:
            what: is wrong with it.
            bad: [n] whether a row is bad.
            show: what is shown of the row of an index.
        """
        self.count += int(bad.sum())
        for index in np.flatnonzero(bad)[: MOST_DEFECTS - len(self.shown)].tolist():
            self.shown.append(f"row {index + 1}: {what}" + ("" if show is None else f" ({show(index)})"))

    def lines(self) -> list[str]:
        """The first defects, then how many more there are."""
        more = self.count - len(self.shown)
        return [*self.shown, *([f"and {more:,} more"] if more else [])]
