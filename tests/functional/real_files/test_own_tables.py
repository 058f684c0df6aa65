"""``data import`` and ``data describe`` on tables as people have them: labels, features, index columns."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from grmu_audit.cli.app import execute

CASES = Path(__file__).parents[2] / "cases"
IMPORT = ["data", "import", "--target", "hired", "--attribute", "sex", "--out", "own.yaml", "--table"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)


def said(capsys: Any, *line: str) -> tuple[int, str]:
    code = execute(line)
    output = capsys.readouterr()
    return code, output.out + output.err


def plain(**columns: object) -> pd.DataFrame:
    frame = pd.read_csv(CASES / "feature-kinds" / "plain.csv", dtype=str, keep_default_na=False)
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("label-notations/target_1_and_1.0.csv", 2, "'1.0' and '1' are the same number: '1.0' in 12 rows (first: row 2)"),
        ("label-notations/attribute_F_and_f.csv", 2, "column 'sex': 'm' and 'M' are the same text but for case"),
        ("label-notations/attribute_None.csv", 0, "'None' (5 rows) may mean that the label is missing"),
        ("label-notations/attribute_question_mark.csv", 0, "'?' (5 rows) may mean that the label is missing"),
        ("index-as-feature/table.csv", 0, "column '' is left out: it is an index"),
        ("index-as-feature/table.parquet", 0, "column '__index_level_0__' is left out: it is an index"),
        ("feature-kinds/age_one_question_mark.csv", 2, "row 9: age is '?', and 199 of the column's 200 cells are plain numbers"),
        ("feature-kinds/hours_decimal_comma.csv", 2, "row 2: hours is '29,3', and 0 of the column's 200 cells are plain numbers"),
        ("feature-kinds/code_underscore.csv", 0, "feature code: categories, 3 values (2_0, 10, 1_0)"),
        ("feature-kinds/plain.csv", 0, "feature age: number, 18 to 79, 61 values"),
    ],
)  # fmt: skip
def test_cases(name: str, code: int, says: str, capsys: Any) -> None:
    shutil.copy(CASES / name, ".")
    found, text = said(capsys, *IMPORT, Path(name).name)
    assert says in text
    assert found == code
    assert Path("own.yaml").exists() == (code == 0), "nothing is written for a table that is refused"
    if code == 0:
        found, text = said(capsys, "data", "describe", "own.yaml")
        assert found == 0
        assert says in text or "may mean" in says
        assert f"input {7 if 'underscore' in name else 6 if 'attribute' in name else 5}" in text


@pytest.mark.parametrize(
    ("columns", "line", "code", "says"),
    [
        ({"hired": "yes"}, [], 2, "the target 'hired' has one value only"),
        ({}, ["--attribute", "hired"], 2, "'hired' is target and attribute at once"),
        ({}, ["--subject", "id"], 0, "feature hours: number"),
        ({}, ["--split", "sex"], 2, "column 'sex' holds"),
        ({"split": "Train"}, [], 2, "'split' holds 'Train' (only the notation differs from 'train'); splits are train, val"),
        ({}, ["--target", "Hired"], 2, "no column 'Hired' (did you mean 'hired'?)"),
        ({"dose": "5 mg"}, [], 0, "row 2: dose is '5 mg', where the cells look like numbers with units"),
        ({"copy": plain()["hired"]}, [], 0, "hired can be read off copy alone: is it the target under another name?"),
        ({"note": [f"seen on day {i}" for i in range(200)]}, [], 0, "note has another text in nearly every row"),
        ({"": ""}, [], 0, "column '' is left out: it has neither a name nor a value"),
        ({"zip": "01234"}, [], 0, "zip holds '01234': numbers with leading zeros may be codes"),
        ({"zip": "01234"}, ["--categorical", "zip"], 0, "feature zip: categories, 1 values (01234)"),
        ({"zip": "01234"}, ["--categorical", "zap"], 2, "no column 'zap' (did you mean 'zip'?)"),
    ],
)  # fmt: skip
def test_other_tables(columns: dict[str, str], line: list[str], code: int, says: str, capsys: Any) -> None:
    plain(**columns).to_csv("t.csv", index=False)
    found, text = said(capsys, *IMPORT, "t.csv", *line)
    assert says in text
    assert found == code


@pytest.mark.parametrize("line", [["score", "--predictions"], [*IMPORT]], ids=["score", "data import"])
@pytest.mark.parametrize("kind", ["pipe", "device", "nothing", "link to nothing", "folder"])
def test_what_is_no_file_is_said(kind: str, line: list[str], capsys: Any) -> None:
    path = Path("/dev/null" if kind == "device" else "t.csv")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to nothing":
        path.symlink_to("gone.csv")
    elif kind == "folder":
        path.mkdir()
    code, text = said(capsys, *line, str(path))
    assert code == 2
    assert {"pipe": "it is a pipe", "device": "it is a device", "folder": "irectory"}.get(kind, "o such file") in text


def test_exact_labels_are_kept_and_written_into_the_manifest(capsys: Any) -> None:
    frame = plain()
    frame["sex"] = ["a" if i % 2 else "A" for i in range(len(frame))]
    frame.to_csv("t.csv", index=False)
    assert said(capsys, *IMPORT, "t.csv")[0] == 2
    assert said(capsys, *IMPORT, "t.csv", "--exact-labels")[0] == 0
    assert said(capsys, "data", "describe", "own.yaml")[0] == 0
    tree = yaml.safe_load(Path("own.yaml").read_text())
    assert tree.pop("exact_labels") is True
    Path("own.yaml").write_text(yaml.safe_dump(tree))
    code, text = said(capsys, "data", "describe", "own.yaml")
    assert code == 2
    assert "column 'sex': 'A' and 'a' are the same text but for case: write one, or set exact_labels: true" in text


@pytest.mark.parametrize(("cell", "code"), [("0", 0), ("0.0", 2), ("O", 2)])
def test_a_label_in_another_notation_than_the_manifest_declares_is_refused_with_its_row(
    cell: str, code: int, capsys: Any
) -> None:
    frame = plain()
    frame.to_csv("t.csv", index=False)
    assert said(capsys, *IMPORT, "t.csv")[0] == 0
    row = frame.index[frame["hired"] == "0"][0]
    frame.loc[row, "hired"] = cell
    frame.to_csv("t.csv", index=False)
    found, text = said(capsys, "data", "describe", "own.yaml")
    assert found == code
    hint = " (only the notation differs from '0')" if cell == "0.0" else ""
    assert code == 0 or f"row {row + 2}: hired is {cell!r}{hint}, must be one of 0, 1" in text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "crlf", "utf-16"])
def test_marks_and_line_ends_of_other_systems_are_read_as_before(encoding: str, capsys: Any) -> None:
    text = plain().to_csv(index=False)
    content = text.replace("\n", "\r\n").encode() if encoding == "crlf" else text.encode(encoding)
    Path("t.csv").write_bytes(content)
    code, found = said(capsys, *IMPORT, "t.csv")
    assert code == (2 if encoding == "utf-16" else 0)
    assert ("it looks like UTF-16" if encoding == "utf-16" else "feature age: number, 18 to 79, 61 values") in found


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "an HTML page"),
        (b"\x1f\x8b\x08\x00rest", "compressed with gzip"),
        (b"PK\x03\x04rest", "a zip archive (a spreadsheet?)"),
        (b"\xd0\xcf\x11\xe0rest", "an old spreadsheet"),
        (b"%PDF-1.7", "a PDF"),
        (b"SQLite format 3\x00rest", "an SQLite database"),
        (b"sep=;\nid;age\n1;2\n", "'sep=;', which only Excel reads"),
        (b"sep=,\nid,age\n1,2\n", "'sep=,', which only Excel reads"),
        (b"Staff of 2024\nid,hired,sex\n1,0,F\n", "row 1 is 'Staff of 2024': a title? remove it"),
        (b"1,0,0,F\n2,1,1,M\n", "column '0' occurs twice in the header: is the line with the names of the columns missing?"),
        ("id,hired\n1,0\n".encode("utf-32"), "it looks like UTF-32"),
        (b"id^hired^sex\n1^0^F\n", "separated by carets"),
        (b"id~hired~sex\n1~0~F\n", "separated by tildes"),
        (b"id\x01hired\x01sex\n1\x010\x01F\n", "separated by control signs"),
        ("id\u060chired\u060csex\n1\u060c0\u060cF\n".encode(), "separated by Arabic commas"),
        (b"@relation staff\n@attribute age numeric\n", "row 1 is a comment ('@relation staff')"),
        (b"id;hired;sex\n1;0;F\n", "separated by semicolons"),
        (b"id\thired\tsex\n1\t0\tF\n", "separated by tabs"),
        (b"id hired sex\n1 0 F\n", "separated by blanks"),
        (b"id,hired,sex\n1;0;F\n", "separated by semicolons"),
        (b"id,hired,sex\n1,0,F,\n", "a comma stands at its end"),
        (b"id,hired,sex\n1,0\n", "row 2 has 2 cells where 3 are expected"),
        (b"id,hired,hired\n1,0,0\n", "column 'hired' occurs twice"),
        (b"", "the file is empty"),
        (b"# exported today\nid,hired,sex\n1,0,F\n", "row 1 is a comment ('# exported today'): remove it"),
        (b"id,hired,sex\r1,0,F\r2,1,M\r", "its lines end with a carriage return alone"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_commas_is_said_by_every_reader(content: bytes, what: str, capsys: Any) -> None:
    Path("t.csv").write_bytes(content)
    for line in ([*IMPORT, "t.csv"], ["score", "--predictions", "t.csv"]):
        code, text = said(capsys, *line)
        assert what in text, line
        assert code == 2
