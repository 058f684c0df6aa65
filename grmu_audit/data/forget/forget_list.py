"""Reading a forget list from disk: CSV with a header, one id per line, or parquet."""

from __future__ import annotations

import errno
import io
import itertools
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from grmu_audit.errors import ForgetListError, InputError
from grmu_audit.utils.columns import Kind, require_few_columns
from grmu_audit.utils.files import HEAD, read_file
from grmu_audit.utils.parquet import open_footer, parquet_table, readable
from grmu_audit.utils.table_files import Defects, check_separator, csv_records, refuse_kind, width_advice

T = TypeVar("T")


def raise_defects(where: str, texts: Sequence[str]) -> None:
    """Raise when there are defects: the first twenty, then how many more.

    Raises:
        ForgetListError: there is at least one defect.

    >>> raise_defects("ids.csv", [])
    """
    if texts:
        defects = Defects()
        defects.add(*texts)
        problems = "1 problem" if len(texts) == 1 else f"{len(texts)} problems"
        raise ForgetListError(f"forget list {where}: {problems}\n" + "\n".join(f"  {line}" for line in defects.lines()))


def id_defect(text: str) -> str | None:
    """Why the text cannot be a sample id, or None.

    >>> id_defect("000001.jpg")
    >>> id_defect(" ")
    'the id is empty'
    """
    if not text.strip():
        return "the id is empty"
    if len(text) > LONGEST_ID:
        return f"the id has {len(text)} characters, more than {LONGEST_ID}"
    if not text.isprintable():
        return f"the id {text[:80]!a} holds a character that cannot be printed"
    return None


LONGEST_ID = 1024
"""Characters that an id or a request field may have."""
REQUEST_COLUMNS = ("request_id", "received_at", "subject", "ground")
"""Optional columns, which go to the erasure record."""
LARGEST_FILE = 256 << 20
"""Bytes that a list may have, packed or unpacked."""
MOST_COLUMNS, MOST_ROWS = 1000, 2_000_000
"""Columns and rows that a list may have."""


@dataclass(frozen=True)
class ForgetList:
    """The rows of a forget list as they stand in the file, not yet compared with any dataset."""

    source: str
    """File name without its folder, for messages."""
    ids: tuple[str, ...]
    """One id per row, in file order, without white space around it; may repeat.  Empty for a list of subjects."""
    rows: tuple[int, ...]
    """Where each stands: the line of a text file (header = 1), the record of a parquet file (from 1)."""
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Those of ``REQUEST_COLUMNS`` that the file has, aligned with ``ids``; empty text where a value is missing."""
    header: bool = True
    """False for one id per line without a header."""


def without_rows(parsed: ForgetList, ids: Collection[str]) -> ForgetList:
    """The list without the rows of some ids.

    >>> without_rows(ForgetList("ids.csv", ("a", "b"), (2, 3), {"subject": ("x", "y")}), {"a"}).columns
    {'subject': ('y',)}
    """
    kept = [i for i, name in enumerate(parsed.ids) if name not in ids]

    def picked(values: Sequence[T]) -> tuple[T, ...]:
        return tuple(values[i] for i in kept)

    columns = {name: picked(values) for name, values in parsed.columns.items()}
    return replace(parsed, ids=picked(parsed.ids), rows=picked(parsed.rows), columns=columns)


@dataclass(frozen=True)
class _Table:
    """Cells as text with the row number of each record."""

    header: list[str] | None
    records: list[tuple[int, list[str]]]


def read_forget_list(path: str | os.PathLike[str]) -> ForgetList:
    """Parse a forget list: CSV with a column ``id``, one id per line without a header, or parquet with a column ``id``.

    A list with a column ``subject`` may go without ``id``: it means all rows of these subjects (``subjects.rows_of_subjects``).

    Text is UTF-8, a byte order mark is accepted, blank lines are skipped, white space around a value is dropped.  Optional
    columns: ``REQUEST_COLUMNS``.  In parquet, ids are text or whole numbers.

    Raises:
        ForgetListError: the file is missing, unreadable, empty, too large, not UTF-8, not well-formed, or rows have no usable id;
            every bad row with its number (the first 20, then a count).
    """
    source = Path(path)
    content = _content(source)
    table = _parquet(content, source.name) if content[:4] == b"PAR1" else _text(content, source.name)
    return _forget_list(table, source.name)


def _content(path: Path) -> bytes:
    try:
        return read_file(path, LARGEST_FILE)
    except FileNotFoundError:
        raise ForgetListError(f"forget list {path}: no such file: check the path, or create one with 'forget sample'") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ForgetListError(f"forget list {path}: larger than {LARGEST_FILE >> 20} MiB: split the request") from None
        raise ForgetListError(f"forget list {path}: cannot be read: {error.strerror or error}") from error


def _text(content: bytes, name: str) -> _Table:
    refuse_kind(f"forget list {name}", content[:HEAD], ForgetListError)
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise ForgetListError(f"forget list {name}: row {line} holds a NUL byte: save the list as plain CSV in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ForgetListError(f"forget list {name}: row {line} is not UTF-8: save the list as CSV in UTF-8") from None
    found = csv_records(io.StringIO(text, newline=""), f"forget list {name}", ForgetListError)
    records = list(itertools.islice(found, MOST_ROWS + 2))
    _check_rows(name, len(records) - 1)
    if not records:
        raise ForgetListError(f"forget list {name}: the file is empty: it needs at least one id")
    first = [cell.casefold() for cell in records[0][1]]
    if "id" in first or "subject" in first:
        return _Table(first, records[1:])
    _refuse_headerless(records[0][1], name)
    return _Table(None, records)


def _check_rows(name: str, rows: int) -> None:
    if rows > MOST_ROWS:
        raise ForgetListError(f"forget list {name}: more than {MOST_ROWS:,} rows: split the request")


def _check_columns(name: str, columns: int) -> None:
    require_few_columns(f"forget list {name}", columns, MOST_COLUMNS, ForgetListError)


def _refuse_headerless(first: Sequence[str], name: str) -> None:
    """A first row that was meant as a header, or as several columns, is not an id."""
    words = {word.strip().casefold() for word in re.split(r"[;\t| =]", first[0])}
    if words & {"id", "sep"} or first[0].startswith("# "):
        check_separator(f"forget list {name}", first, ForgetListError)
    if len(first) > 1:
        shown = ", ".join(repr(cell[:40]) for cell in first[:10])
        raise ForgetListError(f"forget list {name}: no column 'id' in the header ({shown}): name the column of sample ids 'id'")


def _parquet(content: bytes, name: str) -> _Table:
    try:
        with readable(name):
            return _parquet_table(content, name)
    except ForgetListError:
        raise
    except InputError as error:
        raise ForgetListError(f"forget list {error}") from None


def _parquet_table(content: bytes, name: str) -> _Table:
    file, wanted = open_footer(io.BytesIO(content), name, _kind)
    meta = file.metadata
    _check_rows(name, meta.num_rows)
    if sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)) > LARGEST_FILE:
        raise InputError(f"{name}: larger than {LARGEST_FILE >> 20} MiB unpacked: split the request")
    for column in wanted:
        _check_type(file.schema_arrow.field(column).type, column, name)
    columns = parquet_table(io.BytesIO(content), name, _kind).columns
    _check_columns(name, len(file.schema_arrow.names))
    records = [(row, list(cells)) for row, cells in enumerate(zip(*columns.values(), strict=True), start=1)]
    return _Table([column.strip().casefold() for column in wanted], records)


def _kind(name: str) -> Kind:
    return "text" if name.strip().casefold() in {"id", *REQUEST_COLUMNS} else "skip"


def _check_type(kind: Any, column: str, name: str) -> None:
    """Ids are text or whole numbers; other columns may be dates or truth values, too."""
    import pyarrow.types as pt  # type: ignore[import-untyped]

    plain = kind.value_type if pt.is_dictionary(kind) else kind
    allowed = (
        pt.is_string(plain) or pt.is_large_string(plain) or pt.is_string_view(plain) or pt.is_integer(plain) or pt.is_null(plain)
    )
    if not (allowed or (column.strip().casefold() != "id" and (pt.is_temporal(plain) or pt.is_boolean(plain)))):
        raise ForgetListError(
            f"forget list {name}: column {column!r} is of type {kind}: store it as text (ids: text or whole numbers)"
        )


def _forget_list(table: _Table, name: str) -> ForgetList:
    header = ["id"] if table.header is None else table.header
    _check_columns(name, len(header))
    repeated = sorted({column for column in header if header.count(column) > 1 and column in {"id", *REQUEST_COLUMNS}})
    key = "id" if "id" in header else "subject"
    if repeated or key not in header:
        what = f"several columns {repeated[0]!r}" if repeated else "no column 'id' (or 'subject')"
        raise ForgetListError(f"forget list {name}: {what}: keep exactly one column {repeated[0] if repeated else 'id'!r}")
    if not table.records:
        raise ForgetListError(f"forget list {name}: the file holds no id: it needs at least one")
    known = {column: header.index(column) for column in ("id", *REQUEST_COLUMNS) if column in header}
    raise_defects(name, [f"row {row}: {why}" for row, cells in table.records for why in _row_defects(cells, known, header, key)])
    values = {column: tuple(cells[index] for _, cells in table.records) for column, index in known.items()}
    return ForgetList(
        source=name,
        ids=values.pop("id", ()),
        rows=tuple(row for row, _ in table.records),
        columns=values,
        header=table.header is not None,
    )


def _row_defects(cells: Sequence[str], known: dict[str, int], header: Sequence[str], key: str) -> Iterator[str]:
    if len(cells) != len(header):
        yield f"{len(cells)} cells where {len(header)} are expected: {width_advice(cells, header)}"
        return
    why = id_defect(cells[known[key]])
    if why:
        yield f"{why.replace('the id', f'the {key}')}: correct or remove the row"
    for column, index in known.items():
        cell = cells[index]
        if column != key and (len(cell) > LONGEST_ID or not cell.isprintable()):
            yield f"column {column!r} is longer than {LONGEST_ID} characters or holds one that cannot be printed"
