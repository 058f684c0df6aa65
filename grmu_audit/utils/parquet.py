"""Reading a parquet file, bounded: its footer is checked before any column is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.utils.columns import (
    LONGEST_FIELD,
    Floats,
    Kind,
    NumberColumn,
    TextTable,
    all_text,
    require_unique_columns,
    shared,
)

MOST_CELLS = 100_000_000
"""Cells that a parquet file may have (CelebA's table: 8 million); compressed, a small file can hold any number."""
MOST_BYTES = 4 << 30
"""Bytes that a parquet file may have, on disk and, as its footer declares them, unpacked."""


def read_parquet(path: Path, kind_of: Callable[[str], Kind] = all_text) -> TextTable:
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
            # Text is read as a dictionary with one copy of each word, however often a small file repeats it.
            table = pq.ParquetFile(stream, read_dictionary=_text_columns(footer.schema_arrow, wanted)).read(columns=wanted)
            header, rows = tuple(footer.schema_arrow.names), footer.metadata.num_rows
            index = (footer.schema_arrow.pandas_metadata or {}).get("index_columns", [])
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
    index_columns = tuple(name for name in index if isinstance(name, str))
    return TextTable(path.name, header, tuple(range(1, rows + 1)), columns, numbers, index_columns)


def _checked_columns(name: str, footer: Any, kind_of: Callable[[str], Kind]) -> list[str]:
    """Columns to read, after what the footer declares of them was checked."""
    import pyarrow as pa

    meta, schema = footer.metadata, footer.schema_arrow
    require_unique_columns(name, schema.names)
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
    found: list[str] = np.array(words, dtype=object)[chunk.indices.to_numpy()].tolist() if words else []
    return found


def _words(dictionary: Any) -> list[str]:
    """The words of a dictionary without blanks around them; converted at once where they are texts, one by one where not."""
    import pyarrow as pa

    if not pa.types.is_string(dictionary.type):
        return [_text(value) for value in dictionary.to_pylist()]
    return ["" if word is None else word.strip() for word in dictionary.to_numpy(zero_copy_only=False).tolist()]


def _check_bytes(name: str, found: int, verb: str) -> None:
    if found > MOST_BYTES:
        raise InputError(f"{name}: its columns {verb} {found:,} bytes, more than {MOST_BYTES >> 30} GiB: is this the right file?")


def _check_size(name: str, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise InputError(
            f"{name}: {rows:,} rows of {columns} columns are more than {MOST_CELLS:,} cells: is this the right table?"
        )


def _text(value: object) -> str:
    if type(value) is str:
        return value.strip()
    return "" if value is None or value != value else str(value).strip()
