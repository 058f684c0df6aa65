"""How a real file becomes a malformed one: edits of bytes, of text tables, of trees, and of parquet columns."""

from __future__ import annotations

import copy
import io
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

TOKENS = (
    *(
        b"-1",
        b"0",
        b"1",
        b"2",
        b"1e400",
        b"-1e308",
        b"1e-320",
        b"NaN",
        b"inf",
        b"9" * 400,
        b"1_0",
        b"0x10",
        b"3.5",
        b"1,5",
        b"99999999999",
    ),
    *(
        b"null",
        b"true",
        b"~",
        b"''",
        b'""',
        b"[]",
        b"{}",
        b"[[[[[[[[",
        b"&a",
        b"*a",
        b"!!python/object:os.system x",
        b"<<: *a",
        b"---\n",
    ),
    *(
        b"id",
        b"split",
        b"target",
        b"attribute",
        b"subject",
        b"logit_0",
        b"prob_1",
        b"prediction",
        b"loss",
        b"attribute_x",
        b"retain",
    ),
    *(
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"\r\n",
        b"\n\n",
        b",",
        b";",
        b"\t",
        b'"',
        b"'",
        b"\\",
        b"\xed\xa0\x80",
        b"\x1b[31m",
    ),
    *(
        "\u202e".encode(),
        "\u0661".encode(),
        "\ufeff".encode(),
        b"PAR1",
        b"PK\x03\x04",
        b"2026-02-30",
        b"2026-13-45T99:99:99Z",
        b"A" * 5000,
    ),
)
"""What is put into bytes."""
_ODD_NUMBERS: tuple[Any, ...] = (None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, -1e308, 1e-320, 1e16, 10**18, 10**30, 10**399)
_ODD_TEXT: tuple[Any, ...] = (
    "",
    " ",
    "x",
    "0",
    "NaN",
    "1e400",
    "candidate",
    "reference#1",
    "2026-02-30",
    "\u202e\x1b[31m",
    "\ud800",
    "y" * 5000,
)
_ODD_TREES: tuple[Any, ...] = ([], {}, [[]], [None], {"": None}, {"kind": "proportion", "k": 1, "n": 0, "deff": 0})
ODD = (*_ODD_NUMBERS, *_ODD_TEXT, *_ODD_TREES)
"""Values that are put into trees and cells."""


def of_bytes(content: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """One to six edits of bytes."""
    data = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        dice.choice(_BYTE_EDITS)(data, dice, others)
    return bytes(data)


def _span(data: bytearray, dice: random.Random) -> tuple[int, int]:
    start = dice.randrange(len(data) + 1)
    return start, min(len(data), start + dice.choice((1, 2, 8, 64, 1000)))


def _flip(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _cut(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    start, end = _span(data, dice)
    del data[start:end]


def _truncate(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    del data[dice.randrange(len(data) + 1) :]


def _repeat(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    start, end = _span(data, dice)
    data[start:start] = data[start:end] * dice.choice((1, 2, 50))


def _put_token(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    start, end = _span(data, dice)
    data[start : end if dice.random() < 0.5 else start] = dice.choice(TOKENS)


def _put_noise(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    start, end = _span(data, dice)
    data[start:end] = dice.randbytes(end - start)


def _splice(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    other = dice.choice(others)
    start, end = _span(data, dice)
    cut = dice.randrange(len(other) + 1)
    data[start:end] = other[cut : cut + dice.choice((8, 200, 4000))]


_BYTE_EDITS = (_flip, _cut, _truncate, _repeat, _put_token, _put_token, _put_noise, _splice)


def of_table(content: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """One to six edits of cells, rows and columns of a CSV file."""
    rows = [line.split(b",") for line in content.splitlines()] or [[b""]]
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        dice.choice(_TABLE_EDITS)(rows, dice)
    return b"\n".join(b",".join(cells) for cells in rows) + b"\n"


def _odd_cell(rows: list[list[bytes]], dice: random.Random) -> None:
    cells = dice.choice(rows)
    if cells:
        cells[dice.randrange(len(cells))] = dice.choice(TOKENS)


def _odd_column(rows: list[list[bytes]], dice: random.Random) -> None:
    column, token = dice.randrange(len(rows[0]) or 1), dice.choice(TOKENS)
    for cells in rows[1:]:
        if column < len(cells):
            cells[column] = token


def _rename(rows: list[list[bytes]], dice: random.Random) -> None:
    if rows[0]:
        rows[0][dice.randrange(len(rows[0]))] = dice.choice(TOKENS)


def _drop_column(rows: list[list[bytes]], dice: random.Random) -> None:
    column = dice.randrange(len(rows[0]) or 1)
    for cells in rows:
        del cells[column : column + 1]


def _repeat_column(rows: list[list[bytes]], dice: random.Random) -> None:
    column, times = dice.randrange(len(rows[0]) or 1), dice.choice((1, 1, 1, 300, 100_000 // max(len(rows), 1)))
    for number, cells in enumerate(rows):
        found = cells[column] if column < len(cells) else b""
        cells += [found if times == 1 or number else found + str(i).encode() for i in range(times)]


def _drop_rows(rows: list[list[bytes]], dice: random.Random) -> None:
    start = dice.randrange(len(rows))
    del rows[max(start, 1) : start + dice.choice((1, 10, 1000))]


def _repeat_rows(rows: list[list[bytes]], dice: random.Random) -> None:
    row = dice.choice(rows)
    rows += [list(row) for _ in range(dice.choice((1, 2, 500)))]


def _swap_cells(rows: list[list[bytes]], dice: random.Random) -> None:
    one, other = dice.choice(rows), dice.choice(rows)
    if one and other:
        i, j = dice.randrange(len(one)), dice.randrange(len(other))
        one[i], other[j] = other[j], one[i]


_TABLE_EDITS = (_odd_cell, _odd_cell, _odd_column, _rename, _drop_column, _repeat_column, _drop_rows, _repeat_rows, _swap_cells)


def of_tree(tree: Any, dice: random.Random) -> Any:
    """One to six edits of a tree of JSON types: values of other types, keys gone, renamed or swapped, lists of other lengths."""
    return _edit(copy.deepcopy(tree), dice)


def _edit(tree: Any, dice: random.Random) -> Any:
    """``of_tree`` in place: a tree that was just read needs no copy."""
    whole = [tree]
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        holder, key = _somewhere(whole, dice)
        dice.choice(_TREE_EDITS)(holder, key, whole, dice)
    return whole[0]


def _somewhere(whole: list[Any], dice: random.Random) -> tuple[Any, Any]:
    """A container and a key or index in it: down a random path, so that shallow places are as likely as deep ones."""
    holder: Any = whole
    key: Any = 0
    while dice.random() < 0.85:
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        holder, key = inner, dice.choice(list(inner)) if isinstance(inner, dict) else dice.randrange(len(inner))
    return holder, key


def _odd_value(holder: Any, key: Any, whole: list[Any], dice: random.Random) -> None:
    holder[key] = copy.deepcopy(dice.choice(ODD))


def _near_value(holder: Any, key: Any, whole: list[Any], dice: random.Random) -> None:
    found = holder[key]
    if type(found) in (int, float):
        holder[key] = dice.choice((-found, found * 1000, found + 1, found // 3, str(found), [found], 0.0, 1 - found))
    elif isinstance(found, str):
        holder[key] = dice.choice((found.upper(), found[:-1], found * 2, found + "#2", [found], {found: found}))
    else:
        holder[key] = [found]


def _drop(holder: Any, key: Any, whole: list[Any], dice: random.Random) -> None:
    if holder is not whole:
        del holder[key]


def _rename_key(holder: Any, key: Any, whole: list[Any], dice: random.Random) -> None:
    if isinstance(holder, dict):
        holder[dice.choice((str(key) + "_", "id", "kind", "schema", "", "\x1b[31m"))] = holder.pop(key)


def _replace_by_another(holder: Any, key: Any, whole: list[Any], dice: random.Random) -> None:
    other, place = _somewhere(whole, dice)
    holder[key] = copy.deepcopy(other[place])


def _lengthen(holder: Any, key: Any, whole: list[Any], dice: random.Random) -> None:
    found = holder[key]
    if isinstance(found, list) and found:
        holder[key] = found * (dice.choice((2, 3, 40)) if _size(found) < 2_000 else 2)
    elif isinstance(found, dict) and len(json.dumps(found, default=str)) < 2000:
        for _ in range(dice.choice((2, 12, 60))):
            found = {**found, dice.choice(("terms", "left", "cells", "x")): found}
            if len(found) > 40 or dice.random() < 0.02:
                break
        holder[key] = found if _size(found) < _MOST_NODES else holder[key]


_MOST_NODES = 3_000
"""Nodes that a part of a tree may grow to: more take longer to write than to read."""


def _size(tree: Any, most: int = _MOST_NODES) -> int:
    """Nodes of a tree, counted no further than ``most``."""
    count, left = 0, [tree]
    while left and count < most:
        node = left.pop()
        count += 1
        left += list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    return count


_TREE_EDITS: tuple[Callable[[Any, Any, list[Any], random.Random], None], ...] = (
    *(_odd_value, _odd_value, _odd_value, _near_value, _near_value, _drop, _drop),
    *(_rename_key, _replace_by_another, _replace_by_another, _lengthen),
)


def of_json(content: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """A JSON document with edits of its tree, written again; of its bytes in one case of four."""
    if dice.random() < 0.25:
        return of_bytes(content, dice, others)
    return json.dumps(
        _edit(json.loads(content), dice), ensure_ascii=dice.random() < 0.1, separators=(",", ":"), sort_keys=True
    ).encode("utf-8", "surrogatepass")


def of_yaml(content: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """A YAML document with edits of its tree, written again; of its bytes in two cases of three."""
    import yaml

    if dice.random() < 0.67:
        return of_bytes(content, dice, others)
    edited = _edit(yaml.load(content, yaml.CSafeLoader), dice)
    try:
        return yaml.dump(edited, Dumper=yaml.CSafeDumper, allow_unicode=True).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, ValueError):
        return of_bytes(content, dice, others)


def of_list(content: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """A forget list or another text table, by its cells or its bytes."""
    return (of_table if dice.random() < 0.6 else of_bytes)(content, dice, others)


def of_parquet(content: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """A parquet file with other columns, types, values and encodings, well-formed in itself; half of the cases edit bytes."""
    if dice.random() < 0.5:
        return of_bytes(content, dice, others)
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    table = pq.read_table(io.BytesIO(content))
    names, columns = list(table.column_names), [column.combine_chunks() for column in table.columns]
    for _ in range(dice.choice((1, 1, 2, 4))):
        i = dice.randrange(len(names))
        dice.choice(_COLUMN_EDITS)(names, columns, i, dice)
    rows = min(map(len, columns))
    buffer = io.BytesIO()
    made = pa.Table.from_arrays([column.slice(0, rows) for column in columns], names=names)
    metadata = dice.choice((None, None, table.schema.metadata, {b"pandas": dice.choice((b"[]", b"{", b'{"index_columns": 3}'))}))
    codec, dictionary = dice.choice(("none", "snappy", "gzip", "zstd")), dice.random() < 0.5
    size = dice.choice((None, 1, 7)) if rows < 500 else None
    table = made.replace_schema_metadata(metadata)
    try:
        pq.write_table(table, buffer, compression=codec, use_dictionary=dictionary, row_group_size=size)
    except pa.ArrowException:  # a time beyond what the format can hold
        return of_bytes(content, dice, others)
    return buffer.getvalue()


def _other_type(names: list[str], columns: list[Any], i: int, dice: random.Random) -> None:
    import pyarrow as pa

    kinds = (
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.float16(),
        pa.float32(),
        pa.int8(),
        pa.uint64(),
        pa.bool_(),
        pa.decimal128(38, 3),
    )
    times = (
        pa.timestamp("ns", "Mars/Olympus"),
        pa.timestamp("s", "Europe/Paris"),
        pa.date32(),
        pa.time64("ns"),
        pa.duration("ns"),
    )
    kind = dice.choice((*kinds, *times))
    try:
        columns[i] = columns[i].cast(kind, safe=False)
    except (pa.ArrowException, ValueError):
        length = len(columns[i])
        try:
            columns[i] = pa.array([dice.choice((0, 2**62, -(2**62))) for _ in range(length)], pa.int64()).cast(kind, safe=False)
        except (pa.ArrowException, ValueError):
            columns[i] = pa.nulls(length, kind)


def _odd_values(names: list[str], columns: list[Any], i: int, dice: random.Random) -> None:
    import pyarrow as pa

    try:
        values = columns[i].to_pylist()
    except (pa.ArrowException, OverflowError):  # times that Python cannot express, which an edit before this one made
        return
    odd = dice.choice((None, float("nan"), float("inf"), -1, 1e300, 2**62, "", "x", "\0", "y" * 200_000))
    for place in [dice.randrange(len(values))] if dice.random() < 0.5 else range(len(values)):
        values[place] = odd
    try:
        columns[i] = pa.array(values)
    except (pa.ArrowException, ValueError, OverflowError, TypeError):
        columns[i] = pa.array([None if value is None else str(value) for value in values])


_MANY_ROWS = (*(1_000,) * 8, *(10_000,) * 5, *(100_000,) * 2, 1_000_000)
"""The more the seldomer, since a million rows take as long as ten thousand other cases."""


def _many_rows(names: list[str], columns: list[Any], i: int, dice: random.Random) -> None:
    """One row a million times: a few bytes on disk."""
    import pyarrow as pa

    count = dice.choice(_MANY_ROWS) if len(columns) < 12 else 1_000
    indices = pa.array([0]).take(pa.nulls(count, pa.int64()).fill_null(0))
    columns[:] = [column.take(indices) for column in columns]


def _many_columns(names: list[str], columns: list[Any], i: int, dice: random.Random) -> None:
    count = dice.choice((10, 200, 2_000)) if len(columns[i]) < 1_000 else 10
    columns += [columns[i]] * count
    names += [f"{names[i]}{number}" for number in range(count)]


def _same_name(names: list[str], columns: list[Any], i: int, dice: random.Random) -> None:
    if dice.random() < 0.5:
        names[i] = dice.choice(names)
    else:
        names.append(names[i])
        columns.append(columns[i])


def _other_name(names: list[str], columns: list[Any], i: int, dice: random.Random) -> None:
    names[i] = dice.choice(TOKENS).decode("utf-8", "replace")


def _without(names: list[str], columns: list[Any], i: int, dice: random.Random) -> None:
    if len(names) > 1:
        del names[i], columns[i]


def _nested(names: list[str], columns: list[Any], i: int, dice: random.Random) -> None:
    import pyarrow as pa

    if dice.random() < 0.5:
        columns[i] = pa.StructArray.from_arrays([columns[i]], names=["x"])
    else:
        columns[i] = columns[i].cast(pa.string()).dictionary_encode() if not pa.types.is_nested(columns[i].type) else columns[i]


_COLUMN_EDITS = (
    _other_type,
    _other_type,
    _odd_values,
    _odd_values,
    _many_rows,
    _many_columns,
    _same_name,
    _other_name,
    _without,
    _nested,
)
