"""Reading a table from disk, bounded, with the row of every defect: CSV or parquet, as text or as numbers."""

from __future__ import annotations

import csv
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError

LONGEST_LINE = 1 << 20
"""Bytes that a line may have."""
LONGEST_FIELD = 1 << 17
"""Characters that a field may have (the csv module's own limit)."""
MOST_CELLS = 100_000_000
"""Cells that a parquet file may have (CelebA's table: 8 million); compressed, a small file can hold any number."""
MOST_BYTES = 4 << 30
"""Bytes that a parquet file may have, on disk and, as its footer declares them, unpacked."""
Kind = Literal["text", "number", "skip"]
"""How a column is read; one that is skipped stands in the header only."""
Floats = npt.NDArray[np.float64]
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
    numbers: dict[str, Floats] = field(default_factory=dict)
    """[n] finite numbers by column: those read as numbers that hold nothing else; they are not among ``columns``."""

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[str]:
        """One column.

        Raises:
            InputError: there is none of that name; the message lists those that there are.
        """
        if name not in self.columns:
            from grmu_audit.utils.plugins import did_you_mean

            near = did_you_mean(name, list(self.header))
            shown = ", ".join(self.header[:50])
            raise InputError(f"{self.source}: no column {name!r}{near}; columns: {shown}")
        return self.columns[name]


def all_text(name: str) -> Kind:
    """Every column is read as text."""
    return "text"


def read_csv(path: Path, header: Sequence[str] | None = None, kind_of: Callable[[str], Kind] = all_text) -> Cells:
    """Read a CSV file with a header line.

    Args:
        path: the file, UTF-8 (a byte-order mark is skipped).
        header: column names where the file has no header line.
        kind_of: how the column of a name is read.

    Raises:
        InputError: the file is missing or empty, not UTF-8, not well-formed, a column repeats, a row has too many or too few
            cells, other signs than commas stand between them, or a line or field is too long; with the row.
    """
    try:
        with path.open("rb") as stream:
            return _table(_records(stream, path.name), path.name, header, kind_of)
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


def _table(
    records: Iterator[tuple[int, list[str]]], name: str, header: Sequence[str] | None, kind_of: Callable[[str], Kind]
) -> Cells:
    if header is None:
        first = next(records, None)
        if first is None:
            raise InputError(f"{name}: the file is empty: it needs a header line and rows")
        header = first[1]
        _check_separator(name, header)
    _check_header(name, header)
    one, rows = shared(), []
    texts: dict[int, list[str]] = {i: [] for i, column in enumerate(header) if kind_of(column) == "text"}
    numbers = {i: _Numbers() for i, column in enumerate(header) if kind_of(column) == "number"}
    for line, cells in records:
        if len(cells) != len(header):
            raise InputError(f"{name}: row {line} has {len(cells)} cells where {len(header)} are expected: mend it")
        rows.append(line)
        for i, store in texts.items():
            store.append(one(cells[i]))
        for i, values in numbers.items():
            values.append(cells[i])
    found = {header[i]: values for i, values in numbers.items()}
    columns = {header[i]: store for i, store in texts.items()} | {k: v.texts() for k, v in found.items() if v.odd}
    return Cells(name, tuple(header), tuple(rows), columns, {k: v.array() for k, v in found.items() if not v.odd})


class _Numbers:
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
        """[n] cells as text; numbers are written anew."""
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


def number_text(value: float) -> str:
    """A number as a person would write it, which reads back as the same number.

    >>> number_text(3.0), number_text(0.1)
    ('3', '0.1')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


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


def read_parquet(path: Path, kind_of: Callable[[str], Kind] = all_text) -> Cells:
    """Read a parquet file; a missing value is empty text, numbers as text are written as Python writes them.

    Its footer is checked before any column is read.

    Raises:
        InputError: it is missing, too large, no parquet file, or a column repeats, is of no plain type, or holds a text that
            is too long.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        with path.open("rb") as stream:
            _check_bytes(path.name, path.stat().st_size, "are")
            footer = pq.ParquetFile(stream)
            wanted = _checked_columns(path.name, footer, kind_of)
            # Text stays a dictionary with one copy of each word, however often a small file repeats it.
            table = pq.ParquetFile(stream, read_dictionary=_text_columns(footer.schema_arrow, wanted)).read(columns=wanted)
            header, rows = tuple(footer.schema_arrow.names), footer.metadata.num_rows
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: correct the path") from None
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path.name}: not a readable parquet file ({type(error).__name__}): write it again") from None
    columns, numbers = {}, {}
    for name in wanted:
        texts, values = _column(path.name, name, table.column(name), kind_of(name) == "number")
        if values is None:
            columns[name] = texts
        else:
            numbers[name] = values
    return Cells(path.name, header, tuple(range(1, rows + 1)), columns, numbers)


def _checked_columns(name: str, footer: Any, kind_of: Callable[[str], Kind]) -> list[str]:
    """Columns to read, after what the footer declares of them was checked."""
    import pyarrow as pa

    meta, schema = footer.metadata, footer.schema_arrow
    _check_header(name, schema.names)
    wanted = [column for column in schema.names if kind_of(column) != "skip"]
    _check_size(name, meta.num_rows, max(len(wanted), 1))
    _check_bytes(name, sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)), "unpacked are")
    kinds = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    odd = [column for column in wanted if any(kind(_value_type(schema.field(column).type)) for kind in kinds)]
    if odd:
        raise InputError(f"{name}: column {odd[0]!r} holds no plain values: store text or numbers")
    return wanted


def _value_type(kind: Any) -> Any:
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _text_columns(schema: Any, wanted: Sequence[str]) -> list[str]:
    import pyarrow as pa

    kinds = {column: schema.field(column).type for column in wanted}
    return [column for column, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]


def _column(source: str, name: str, column: Any, as_number: bool) -> tuple[list[str], Floats | None]:
    """A column as numbers where it is asked for so and holds nothing else, else as text."""
    values = _plain_numbers(column) if as_number else None
    if values is not None:
        return [], values
    one = shared()
    texts: list[str] = []
    for chunk in column.chunks:
        texts += _chunk_texts(chunk, one)
    longest = max(map(len, texts), default=0)
    if longest > LONGEST_FIELD:
        raise InputError(f"{source}: column {name!r} holds a text of {longest:,} characters: is this a table of labels?")
    if not as_number:
        return texts, None
    parsed = _Numbers()
    for text in texts:
        parsed.append(text)
    return texts, None if parsed.odd else parsed.array()


def _plain_numbers(column: Any) -> Floats | None:
    """[n] the column, or None where it is of another type, lacks a value, or holds one that is not finite."""
    import pyarrow as pa

    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    if column.null_count or not any(test(column.type) for test in tests):
        return None
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    values: Floats = column.cast(pa.float64(), safe=False).to_numpy()
    return values if np.isfinite(values).all() else None


def _chunk_texts(chunk: Any, one: Callable[[str], str]) -> list[str]:
    import pyarrow as pa

    if not pa.types.is_dictionary(chunk.type):
        return [one(_text(value)) for value in chunk.to_pylist()]
    words = [one(_text(value)) for value in chunk.dictionary.to_pylist()]
    return ["" if code is None else words[code] for code in chunk.indices.to_pylist()]


def _check_bytes(name: str, found: int, verb: str) -> None:
    if found > MOST_BYTES:
        raise InputError(f"{name}: its columns {verb} {found:,} bytes, more than {MOST_BYTES >> 30} GiB: is this the right file?")


def _check_size(name: str, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise InputError(
            f"{name}: {rows:,} rows of {columns} columns are more than {MOST_CELLS:,} cells: is this the right table?"
        )


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value).strip()


def read_table(path: Path, kind_of: Callable[[str], Kind] = all_text) -> Cells:
    """Read CSV or, by its first bytes, parquet.

    Args:
        path: the file.
        kind_of: how the column of a name is read.

    Raises:
        InputError: as ``read_csv`` and ``read_parquet``.
    """
    try:
        with path.open("rb") as stream:
            parquet = stream.read(4) == b"PAR1"
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: correct the path") from None
    return read_parquet(path, kind_of) if parquet else read_csv(path, kind_of=kind_of)
