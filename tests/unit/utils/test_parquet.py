"""Parquet files: columns of categories are read as text, and a footer that does not fit its pages is refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grmu_audit.errors import InputError
from grmu_audit.utils import parquet
from grmu_audit.utils.parquet import read_parquet


def written(path: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("words", "kind", "texts"),
    [
        ([" a", "b ", None, " a"], pa.string(), ["a", "b", "", "a"]),
        ([" a", "b ", None, " a"], pa.large_string(), ["a", "b", "", "a"]),
        ([3, 1, None, 3], pa.int64(), ["3", "1", "", "3"]),
        ([0.5, 2.0, None, 0.5], pa.float64(), ["0.5", "2.0", "", "0.5"]),
        ([True, False, None, True], pa.bool_(), ["True", "False", "", "True"]),
    ],
)
def test_a_column_of_categories_is_read_as_the_text_of_each(
    words: list[object], kind: pa.DataType, texts: list[str], tmp_path: Path
) -> None:
    path = written(tmp_path / "t.parquet", job=pa.array(words, kind).dictionary_encode())
    assert read_parquet(path).column("job") == texts


def test_a_footer_that_says_more_rows_than_its_pages_hold_is_refused(tmp_path: Path) -> None:
    content = written(tmp_path / "t.parquet", age=pa.array(range(100))).read_bytes()
    rows = {n: b"\x16" + (2 * n & 127 | 128).to_bytes() + (2 * n >> 7).to_bytes() + b"\x19" for n in (100, 101)}
    assert content.count(rows[100]) == 1, "the number of rows, as the footer stores it, before its list of row groups"
    (tmp_path / "t.parquet").write_bytes(content.replace(rows[100], rows[101]))
    with pytest.raises(InputError, match=r"t\.parquet: its footer says 101 rows of 1 columns, its pages hold others"):
        read_parquet(tmp_path / "t.parquet")


def test_more_row_groups_than_a_footer_may_list_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MOST_GROUPS", 10)
    few, many = tmp_path / "few.parquet", tmp_path / "many.parquet"
    for path, groups in ((few, 5), (many, 6)):
        pq.write_table(pa.table({"id": range(groups), "age": range(groups)}), path, row_group_size=1)
    assert read_parquet(few).column("age") == ["0", "1", "2", "3", "4"]
    with pytest.raises(InputError, match=r"many\.parquet: 6 row groups are more than 10 parts: write larger groups"):
        read_parquet(many)
