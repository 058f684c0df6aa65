"""Parsing forget lists, and writing them so that they read back."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.data.forget import read_forget_list, read_sidecar, sidecar_path, write_forget_list
from grmu_audit.errors import ForgetListError, InputError

IDS = st.text(min_size=1, max_size=12).filter(lambda t: t.isprintable() and t == t.strip() and t != "")


def _read(tmp_path, content, name="ids.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_forget_list(path)


@given(st.lists(IDS, min_size=1, max_size=8, unique=True))
def test_what_is_written_reads_back(ids):
    with tempfile.TemporaryDirectory() as folder:
        path = write_forget_list(Path(folder, "ids.csv"), ids, {"seed": 1})
        parsed = read_forget_list(path)
    assert parsed.ids == tuple(ids)
    assert parsed.rows == tuple(range(2, len(ids) + 2))


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused_cleanly(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ids.csv")
        path.write_bytes(content)
        with contextlib.suppress(ForgetListError):  # any other exception fails the test
            parsed = read_forget_list(path)
            assert len(parsed.ids) == len(parsed.rows) > 0
            assert all(name and name == name.strip() and name.isprintable() for name in parsed.ids)


def test_header_with_request_columns_bom_crlf_quotes_and_blank_lines(tmp_path):
    text = '\ufeffnote,ID, request_id,ground\r\nx,a.jpg,R1,17(1)(b)\r\n\r\ny," b,c.jpg ",R2,\r\n'
    parsed = _read(tmp_path, text)
    assert parsed.ids == ("a.jpg", "b,c.jpg")
    assert parsed.rows == (2, 4)
    assert parsed.columns == {"request_id": ("R1", "R2"), "ground": ("17(1)(b)", "")}
    assert parsed.header


def test_one_id_per_line_keeps_leading_zeros_and_counts_from_the_first_line(tmp_path):
    parsed = _read(tmp_path, "\n007\n 1.50 \nid-3")
    assert (parsed.ids, parsed.rows, parsed.header) == (("007", "1.50", "id-3"), (2, 3, 4), False)


def test_repeated_ids_are_left_for_the_check(tmp_path):
    assert _read(tmp_path, "id\na\na\n").ids == ("a", "a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\n \n", "the id is empty"),
        ("\n\n", "the file is empty"),
        ("id\n", "holds no id"),
        ("id,ground\na\n", "row 2: 1 cells where 2 are expected"),
        ("id,ground\n ,x\n", "row 2: the id is empty"),
        ("id\na\nb,c\n", "row 3: 2 cells where 1 are expected"),
        ("sep=,\nid\na\n", "row 1 is 'sep=,', which only Excel reads"),
        ("# request of May\nid\na\n", "row 1 is a comment ('# request of May')"),
        ("id\na\nb,\n", "row 3: 2 cells where 1 are expected: a comma stands at its end"),
        ("a\nb,c\n", "row 2: 2 cells where 1 are expected"),
        ("name,ground\na,b\n", "no column 'id' in the header ('name', 'ground')"),
        ("id;ground\na;b\n", "separated by semicolons"),
        ("id\tground\na\tb\n", "separated by tabs"),
        ("id,id\na,b\n", "several columns 'id'"),
        ("id,subject,subject\na,b,c\n", "several columns 'subject'"),
        (b"id\na\nb\0c\n", "row 3 holds a NUL byte"),
        (b"id\na\n\xff\xfe\n", "row 3 is not UTF-8"),
        ("id\na\n".encode("utf-16"), "looks like UTF-16"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"PAR1nonsense", "not a readable parquet file"),
        ('id\n"a\nb\n', "not well-formed CSV"),
        ('id\n"a"b\n', "row 2 is not well-formed CSV"),
        ('id\n"a\nb"\n', "row 2: the id 'a\\nb' holds a character that cannot be printed"),
        ("id\na\x1b[31m\n", "cannot be printed"),
        ("id\n" + "x" * 1025 + "\n", "row 2: the id has 1025 characters"),
        ("id,ground\na," + "x" * 1025 + "\n", "row 2: column 'ground' is longer"),
    ],
)
def test_bad_files_are_refused_with_their_row(tmp_path, content, message):
    with pytest.raises(ForgetListError) as caught:
        _read(tmp_path, content)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_field_of_a_hundred_megabytes_is_refused_cleanly(tmp_path):
    with pytest.raises(ForgetListError) as caught:
        _read(tmp_path, b"id\n" + b"x" * 100_000_000)
    assert "row 2 is longer than 16 MiB" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_file_over_the_limit_is_refused_without_reading_it_all(tmp_path):
    with (tmp_path / "ids.csv").open("wb") as stream:
        stream.truncate((256 << 20) + 1)
    with pytest.raises(ForgetListError, match="larger than 256 MiB"):
        read_forget_list(tmp_path / "ids.csv")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ForgetListError, match="no such file"):
        read_forget_list(tmp_path / "none.csv")
    with pytest.raises(ForgetListError, match="folder"):
        read_forget_list(tmp_path)


def test_many_bad_rows_are_counted_after_the_first_twenty(tmp_path):
    with pytest.raises(ForgetListError) as caught:
        _read(tmp_path, "id,ground\n" + " ,x\n" * 25)
    lines = str(caught.value).splitlines()
    assert "25 problems" in lines[0]
    assert len(lines) == 22
    assert lines[-1].strip() == "and 5 more"


def test_parquet_text_numbers_and_dictionary(tmp_path):
    pd.DataFrame({"subject": [5, 6], "ID": ["a", "b"], "note": [1.5, 2.5]}).to_parquet(tmp_path / "a.parquet")
    parsed = read_forget_list(tmp_path / "a.parquet")
    assert (parsed.ids, parsed.rows, parsed.columns) == (("a", "b"), (1, 2), {"subject": ("5", "6")})
    pq.write_table(pa.table({"id": pa.array([7, 8])}), tmp_path / "b.parquet")
    assert read_forget_list(tmp_path / "b.parquet").ids == ("7", "8")
    pq.write_table(pa.table({"id": pa.array(["x", "y", "x"]).dictionary_encode()}), tmp_path / "c.parquet")
    assert read_forget_list(tmp_path / "c.parquet").ids == ("x", "y", "x")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"id": [1.0, 2.0]}, "of type double"),
        ({"id": ["a", None]}, "row 2: the id is empty"),
        ({"name": ["a"]}, "no column 'id'"),
        ({"id": [b"a"]}, "of type binary"),
        ({"id": [["a"]]}, "of type list"),
        ({"id": pa.array([], pa.string())}, "holds no id"),
    ],
)
def test_parquet_that_cannot_be_used(tmp_path, table, message):
    pq.write_table(pa.table(table), tmp_path / "ids.parquet")
    with pytest.raises(ForgetListError) as caught:
        read_forget_list(tmp_path / "ids.parquet")
    assert message in str(caught.value)


def test_a_parquet_file_that_unpacks_to_too_much_is_refused_unread(tmp_path):
    constant = pa.array(["x" * 1000]).take(pa.array([0] * 300_000))
    pq.write_table(pa.table({"id": constant}), tmp_path / "ids.parquet", use_dictionary=False, compression="zstd")
    assert (tmp_path / "ids.parquet").stat().st_size < 1_000_000
    with pytest.raises(ForgetListError, match="unpacked"):
        read_forget_list(tmp_path / "ids.parquet")


def test_the_list_is_private_and_the_sidecar_says_how_it_was_made(tmp_path):
    path = write_forget_list(tmp_path / "out" / "ids.csv", ["p-1", "p-2"], {"groups": ["a / b"], "ratio": 0.5, "seed": 3})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    beside = tmp_path / "out" / "ids.csv.meta.yaml"
    assert beside == sidecar_path(path)
    expected = {"schema": "grmu-audit/forget-sample/v1", "groups": ["a / b"], "ratio": 0.5, "seed": 3, "count": 2}
    assert yaml.safe_load(beside.read_text()) == expected == read_sidecar(path)
    assert "p-1" not in beside.read_text()
    assert read_sidecar(tmp_path / "other.csv") is None


@pytest.mark.parametrize("content", [b"[1", b"- 1", b"schema: other/v9", b"\xff\xfe\x00", b"!!python/object:os.system {}"])
def test_a_sidecar_that_is_none_is_refused(tmp_path, content):
    sidecar_path(tmp_path / "ids.csv").write_bytes(content)
    with pytest.raises(InputError, match="sidecar"):
        read_sidecar(tmp_path / "ids.csv")


@pytest.mark.parametrize(
    ("ids", "message"),
    [([], "no id"), (["a", "b", "a"], "'a' repeats"), ([" a"], "white space"), ([""], "empty"), (["a\nb"], "cannot be printed")],
)
def test_ids_that_would_not_read_back_are_not_written(tmp_path, ids, message):
    with pytest.raises(ForgetListError, match=message):
        write_forget_list(tmp_path / "ids.csv", ids, {})
    assert not list(tmp_path.iterdir())


def test_a_sidecar_of_odd_types_is_not_written(tmp_path):
    with pytest.raises(InputError, match="'seed': 'object'"):
        write_forget_list(tmp_path / "ids.csv", ["a"], {"seed": object()})
    assert not list(tmp_path.iterdir())


def test_a_list_of_100_000_columns_is_refused_at_once(tmp_path):
    names = ["id", *(f"c{i}" for i in range(100_000))]
    (tmp_path / "wide.csv").write_text(",".join(names) + "\n" + ",".join("0" * len(names)) + "\n")
    with pytest.raises(ForgetListError, match="100,001 columns, more than the 1,000"):
        read_forget_list(tmp_path / "wide.csv")


def test_a_pipe_and_a_device_are_no_forget_lists(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a pipe"), ("zero", "a device")):
        with pytest.raises(ForgetListError, match=kind):
            read_forget_list(tmp_path / name)


def test_more_rows_than_a_request_can_have_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("grmu_audit.data.forget.forget_list.MOST_ROWS", 3)
    (tmp_path / "ids.csv").write_text("id\na\nb\nc\n")
    assert len(read_forget_list(tmp_path / "ids.csv").ids) == 3
    (tmp_path / "ids.csv").write_text("id\na\nb\nc\nd\n")
    with pytest.raises(ForgetListError, match="more than 3 rows: split the request"):
        read_forget_list(tmp_path / "ids.csv")
