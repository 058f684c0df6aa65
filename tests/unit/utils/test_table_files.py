"""Tables of text: what is no table is refused with its row, and what merely looks odd is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from grmu_audit.errors import InputError
from grmu_audit.utils import table_files
from grmu_audit.utils.files import HEAD
from grmu_audit.utils.table_files import read_csv, read_whitespace_table


def stored(folder: Path, content: bytes) -> Path:
    (folder / "t.csv").write_bytes(content)
    return folder / "t.csv"


def test_blank_lines_between_words_are_left_out_and_still_counted(tmp_path: Path) -> None:
    path = stored(tmp_path, b"a  1\n\n \t\nb\t2 3\n")
    assert list(read_whitespace_table(path)) == [(1, ["a", "1"]), (4, ["b", "2", "3"])]


@pytest.mark.parametrize("rows", [1, HEAD])
def test_a_nul_byte_is_named_by_its_row(rows: int, tmp_path: Path) -> None:
    path = stored(tmp_path, b"id\n" + b"a\n" * rows + b"b\0\n")
    with pytest.raises(InputError, match=rf"t\.csv: row {rows + 2} holds a NUL byte: save the table as plain CSV in UTF-8"):
        read_csv(path)


def test_a_table_of_more_cells_than_any_may_have_is_refused_at_the_row_that_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "MOST_CELLS", 6)
    path = stored(tmp_path, b"id,age,job\n1,2,3\n4,5,6\n7,8,9\n")
    with pytest.raises(InputError, match=r"t\.csv: row 4 is beyond 6 cells: split the table, or give parquet"):
        read_csv(path)
    some = read_csv(path, lambda column: "skip" if column == "job" else "text")
    assert some.column("age") == ["2", "5", "8"], "a column that is not read does not count"


@pytest.mark.parametrize("name", ["id", "first name"])
def test_one_column_whose_name_holds_no_separator_is_a_table(name: str, tmp_path: Path) -> None:
    table = read_csv(stored(tmp_path, f"{name}\na\nb\n".encode()))
    assert (table.header, table.column(name), list(table.rows)) == ((name,), ["a", "b"], [2, 3])


@pytest.mark.parametrize(("head", "sign"), [("id;age", "semicolons"), ("id\tage", "tabs"), ("id first age", "blanks")])
def test_one_column_whose_name_holds_a_separator_is_not(head: str, sign: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"t\.csv: the cells are separated by {sign}: save the table as CSV with commas"):
        read_csv(stored(tmp_path, f"{head}\na\n".encode()))
