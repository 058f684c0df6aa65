"""Reading a table of text cells from disk, bounded, with the row of every defect."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from grmu_audit.errors import InputError

LONGEST_LINE = 1 << 20
"""Bytes that a line may have."""
LONGEST_FIELD = 1 << 17
"""Characters that a field may have (the csv module's own limit)."""
MOST_CELLS = 100_000_000
"""Cells that a parquet file may have (CelebA's table: 8 million); compressed, a small file can hold any number."""
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What other programs put between cells instead of commas."""


@dataclass(frozen=True)
class Cells:
    """A table as it stands in the file."""

    source: str
    """File name, for messages."""
    header: tuple[str, ...]
    """Column names."""
    rows: tuple[int, ...]
    """[n] line that each record starts on; the header is line 1."""
    columns: dict[str, list[str]]
    """Cells by column, without white space around them; empty text where a value is missing."""

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[str]:
        """One column.

        Raises:
            InputError: there is none of that name; the message lists those that there are.
        """
        if name not in self.columns:
            from grmu_audit.plugins import nearest

            near = nearest(name, list(self.header))
            shown = ", ".join(self.header[:50])
            raise InputError(f"{self.source}: no column {name!r}{near}; columns: {shown}")
        return self.columns[name]


def read_csv(path: Path, header: Sequence[str] | None = None) -> Cells:
    """Read a CSV file with a header line.

    Args:
        path: the file, UTF-8 (a byte-order mark is skipped).
        header: column names where the file has no header line.

    Raises:
        InputError: the file is missing or empty, not UTF-8, not well-formed, a column repeats, a row has too many or too few
            cells, other signs than commas stand between them, or a line or field is too long; with the row.
    """
    try:
        with path.open("rb") as stream:
            return _table(_records(stream, path.name), path.name, header)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: correct the path") from None


def read_words(path: Path, skip: int) -> Iterator[tuple[int, list[str]]]:
    """Lines of words separated by blanks, each with its number, after ``skip`` lines; blank lines are left out.

    Raises:
        InputError: missing, not UTF-8, or a line is too long.
    """
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(_lines(stream, path.name), start=1):
                if number > skip and (words := line.split()):
                    yield number, words
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: correct the path") from None


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


def _records(stream: IO[bytes], name: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(_lines(stream, name), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{name}: row {line} is not well-formed CSV ({error}): mend it") from None


def _table(records: Iterator[tuple[int, list[str]]], name: str, header: Sequence[str] | None) -> Cells:
    if header is None:
        first = next(records, None)
        if first is None:
            raise InputError(f"{name}: the file is empty: it needs a header line and rows")
        header = first[1]
        _check_separator(name, header)
    _check_header(name, header)
    columns: dict[str, list[str]] = {column: [] for column in header}
    stores, rows = list(columns.values()), []
    one = shared()
    for line, cells in records:
        if len(cells) != len(stores):
            raise InputError(f"{name}: row {line} has {len(cells)} cells where {len(stores)} are expected: mend it")
        rows.append(line)
        for store, cell in zip(stores, cells, strict=True):
            store.append(one(cell))
    return Cells(name, tuple(header), tuple(rows), columns)


def _check_header(name: str, header: Sequence[str]) -> None:
    repeated = sorted(column for column, count in Counter(header).items() if count > 1)
    if repeated:
        raise InputError(f"{name}: column {repeated[0]!r} stands twice in the header: rename one of the two")


def _check_separator(name: str, header: Sequence[str]) -> None:
    """Return unless the one column that a header has is several, between which no comma stands.

    Raises:
        InputError: they are separated by semicolons, tabs or bars.
    """
    found = next((words for sign, words in SEPARATORS.items() if len(header) == 1 and sign in header[0]), None)
    if found is not None:
        raise InputError(f"{name}: the cells are separated by {found}: save the table as CSV with commas")


def shared(most: int = 10_000) -> Callable[[str], str]:
    """A function that gives the same object for equal cells, so that a column of labels takes a pointer a row.

    >>> one = shared()
    >>> one("".join(["-", "1"])) is one("-1")
    True
    """
    known: dict[str, str] = {}

    def one(cell: str) -> str:
        return known.setdefault(cell, cell) if len(known) < most else known.get(cell, cell)

    return one


def read_parquet(path: Path) -> Cells:
    """Read a parquet file as text cells; a missing value is empty text, numbers as Python writes them.

    Raises:
        InputError: it is missing, too large, no parquet file, or a column is of no plain type.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        file = pq.ParquetFile(io.BytesIO(path.read_bytes()))
        _check_size(path.name, file.metadata.num_rows, file.metadata.num_columns)
        _check_header(path.name, file.schema_arrow.names)
        table = file.read()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: correct the path") from None
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path.name}: not a readable parquet file ({type(error).__name__}): write it again") from None
    kinds = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    odd = [field.name for field in table.schema if any(kind(field.type) for kind in kinds)]
    if odd:
        raise InputError(f"{path.name}: column {odd[0]!r} holds no plain values: store text or numbers")
    one = shared()
    columns = {name: [one(_text(value)) for value in table.column(name).to_pylist()] for name in table.column_names}
    return Cells(path.name, tuple(columns), tuple(range(1, table.num_rows + 1)), columns)


def _check_size(name: str, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise InputError(
            f"{name}: {rows:,} rows of {columns} columns are more than {MOST_CELLS:,} cells: is this a table of labels?"
        )


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value).strip()


def read_table(path: Path) -> Cells:
    """Read CSV or, by its first bytes, parquet.

    Raises:
        InputError: as ``read_csv`` and ``read_parquet``.
    """
    try:
        with path.open("rb") as stream:
            parquet = stream.read(4) == b"PAR1"
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: correct the path") from None
    return read_parquet(path) if parquet else read_csv(path)
