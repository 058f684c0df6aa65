"""Reading a parquet file, bounded: what its footer declares is checked before any column is read.

A column that holds one value a million times takes a few bytes on disk.  What a file may unpack to is therefore bounded by its
own size (``CELLS_A_BYTE``), beside the limits that hold for any file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from grmu_audit.errors import GrmuAuditError, InputError
from grmu_audit.utils.clock import Deadline
from grmu_audit.utils.columns import (
    LONGEST_FIELD,
    MOST_CELLS,
    Floats,
    Kind,
    NumberColumn,
    TextTable,
    all_text,
    require_few_columns,
    require_unique_columns,
    shared,
)
from grmu_audit.utils.files import open_table

FREE_CELLS, CELLS_A_BYTE = 2_000_000, 32
"""Cells that any parquet file may have, and how many more for each of its bytes."""
MOST_GROUPS = 100_000
"""Row groups times columns that a footer may list."""
_AT_ONCE = 256
MOST_BYTES = 4 << 30
"""Bytes that a parquet file may have, on disk and, as its footer declares them, unpacked."""


def read_parquet(path: Path, kind_of: Callable[[str], Kind] = all_text) -> TextTable:
    """Read a parquet file; a missing value is empty text, numbers as text are written as Python writes them.

    Raises:
        InputError: it is missing, no plain file, too large, no parquet file, or a column repeats, is of no plain type, or holds
            a text that is too long.
    """
    with open_table(path) as stream:
        return parquet_table(stream, path.name, kind_of)


def parquet_table(stream: IO[bytes], name: str, kind_of: Callable[[str], Kind]) -> TextTable:
    """``read_parquet`` of what is open or in memory already.

    Raises:
        InputError: as for ``read_parquet``.
    """
    with readable(name):
        return _table(stream, name, kind_of)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Whatever a parser of hostile bytes raises becomes one error that names the file.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        yield
    except (GrmuAuditError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001
        raise InputError(f"{name}: not a readable parquet file ({type(error).__name__}): write it again") from None


def open_footer(stream: IO[bytes], name: str, kind_of: Callable[[str], Kind]) -> tuple[Any, list[str]]:
    """The opened file and the names of the columns to read, after what its footer declares was checked.

    Raises:
        InputError: as for ``read_parquet``.
    """
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    size = stream.seek(0, 2)
    stream.seek(0)
    _check_bytes(name, size, "are")
    footer = pq.ParquetFile(stream)
    return footer, _checked_columns(name, footer, size, kind_of)


def _table(stream: IO[bytes], name: str, kind_of: Callable[[str], Kind]) -> TextTable:
    import pyarrow.parquet as pq

    footer, wanted = open_footer(stream, name, kind_of)
    # Text is read as a dictionary with one copy of each word, however often a small file repeats it.
    file = pq.ParquetFile(stream, read_dictionary=_text_columns(footer.schema_arrow, wanted))
    header, rows, deadline = tuple(footer.schema_arrow.names), footer.metadata.num_rows, Deadline(name)
    columns, numbers = {}, {}
    for part in (wanted[start : start + _AT_ONCE] for start in range(0, len(wanted), _AT_ONCE)):
        deadline.check()
        table = file.read(columns=part)
        if table.num_rows != rows or not {*part} <= {*table.column_names}:
            raise InputError(
                f"{name}: its footer says {rows:,} rows of {len(wanted)} columns, its pages hold others: write it again"
            )
        for column in part:
            deadline.check()
            texts, values = _column(name, column, table.column(column), kind_of(column) == "number")
            if values is None:
                columns[column] = texts
            else:
                numbers[column] = values
    index = (footer.schema_arrow.pandas_metadata or {}).get("index_columns", [])
    index_columns = tuple(column for column in index if isinstance(column, str))
    return TextTable(name, header, range(1, rows + 1), columns, numbers, index_columns)


def _checked_columns(name: str, footer: Any, size: int, kind_of: Callable[[str], Kind]) -> list[str]:
    """Columns to read, after what the footer declares of them was checked."""
    import pyarrow as pa

    meta, schema = footer.metadata, footer.schema_arrow
    require_few_columns(name, len(schema.names))
    if meta.num_row_groups * len(schema.names) > MOST_GROUPS:
        raise InputError(f"{name}: {meta.num_row_groups:,} row groups are more than {MOST_GROUPS:,} parts: write larger groups")
    require_unique_columns(name, schema.names)
    wanted = [column for column in schema.names if kind_of(column) != "skip"]
    _check_size(name, meta.num_rows, max(len(wanted), 1), size)
    _check_bytes(name, sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)), "unpacked are")
    kinds = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    odd = [column for column in wanted if any(kind(_value_type(schema.field(column).type)) for kind in kinds)]
    if odd:
        kind = schema.field(odd[0]).type
        raise InputError(f"{name}: column {odd[0]!r} of type {kind} holds no plain values: store text or numbers")
    return wanted


def _value_type(kind: Any) -> Any:
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _text_columns(schema: Any, wanted: Sequence[str]) -> list[str]:
    import pyarrow as pa

    kinds = {column: schema.field(column).type for column in wanted}
    return [column for column, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]


def _column(source: str, name: str, column: Any, as_number: bool) -> tuple[list[str], Floats | None]:
    """A column as numbers where that is requested and it holds nothing else, else as text."""
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
    parsed = NumberColumn()
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
    words = _words(chunk.dictionary)
    if chunk.null_count:
        return ["" if code is None else words[code] for code in chunk.indices.to_pylist()]
    found: list[str] = np.array(words, dtype=object)[np.from_dlpack(chunk.indices)].tolist() if words else []
    return found


def _words(dictionary: Any) -> list[str]:
    """The words of a dictionary without blanks around them; by lists, since an array of texts would load pandas."""
    import pyarrow as pa

    if not pa.types.is_string(dictionary.type):
        return [_text(value) for value in dictionary.to_pylist()]
    return ["" if word is None else word.strip() for word in dictionary.to_pylist()]


def _check_bytes(name: str, found: int, verb: str) -> None:
    if found > MOST_BYTES:
        raise InputError(f"{name}: its columns {verb} {found:,} bytes, more than {MOST_BYTES >> 30} GiB: is this the right file?")


def _check_size(name: str, rows: int, columns: int, size: int) -> None:
    most = min(MOST_CELLS, FREE_CELLS + CELLS_A_BYTE * size)
    if not 0 <= rows * columns <= most:
        raise InputError(
            f"{name}: {rows:,} rows of {columns} columns are more than {most:,} cells, the most for a file of {size:,} bytes: "
            "is this the right table?"
        )


def _text(value: object) -> str:
    if type(value) is str:
        return value.strip()
    return "" if value is None or value != value else str(value).strip()
