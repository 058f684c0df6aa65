"""Columns as features: which are left out, of what kind they are, and what looks like a mistake."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.data.readers.features import feature_columns, parse_feature
from grmu_audit.errors import InputError
from grmu_audit.utils.columns import TextTable, number_advice, number_text
from grmu_audit.utils.notations import LabelColumn
from grmu_audit.utils.table_files import read_table


def column(cells: list[str]) -> LabelColumn:
    return LabelColumn("t.csv", "age", range(2, 2 + len(cells)), cells)


def ages(*odd: str, n: int = 40) -> list[str]:
    return [str(20 + i) for i in range(n)] + list(odd)


def named(name: str, cells: list[str]) -> TextTable:
    return TextTable("t.csv", (name, "age"), tuple(range(2, 2 + len(cells))), {name: cells, "age": ["1"] * len(cells)})


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Unnamed: 0",
        "Unnamed: 0.1",
        "unnamed: 12",
        "Unnamed: 0_level_0",
        "__index_level_0__",
        "__index_level_1__",
        "...1",
        "Unnamed:_0",
        "unnamed_0",
        "__null_dask_index__",
    ],
)
def test_an_index_is_left_out_by_its_name_with_a_sentence(name: str) -> None:
    names, said = feature_columns(named(name, ["x", "y"]), (), {"id"})
    assert names == ["age"]
    assert said == [
        f"column {name!r} is left out: it is an index that another program wrote, not a feature"
        " (name it as a feature if it is one)"
    ]
    assert feature_columns(named(name, ["x", "y"]), (name,), ())[0] == [name], "a chosen column stays"
    assert feature_columns(named(name, ["x", "y"]), (), {name})[1] == [], "a column with another role is no feature anyway"


@pytest.mark.parametrize(("name", "cells", "left_out"), [
    ("index", ["5", "3", "9"], True), ("level_0", ["0", "1", "2"], True), ("row_id", ["10", "11", "12"], True),
    ("index", ["5", "5", "9"], False), ("index", ["a", "b", "c"], False), ("rows", ["0", "1", "2"], False),
])  # fmt: skip
def test_a_column_named_index_is_one_if_it_counts(name: str, cells: list[str], left_out: bool) -> None:
    assert (name not in feature_columns(named(name, cells), (), ())[0]) == left_out


@pytest.mark.parametrize("index", [None, "person", ["country", "city"]])
def test_index_columns_of_pandas_in_parquet_and_csv(index: str | list[str] | None, tmp_path: Path) -> None:
    frame = pd.DataFrame({"person": [4, 2, 9], "country": ["a", "b", "c"], "city": ["x", "y", "z"], "age": [30, 40, 50]})
    frame = frame.iloc[[2, 0, 1]] if index is None else frame.set_index(index)
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    expected = [name for name in ("person", "country", "city", "age") if name in frame.columns]
    assert feature_columns(table, (), ())[0] == expected
    if index is None:
        frame.to_csv(tmp_path / "t.csv")
        assert feature_columns(read_table(tmp_path / "t.csv"), (), ())[0] == expected


MISTAKES = {
    "?": "leave the cell empty", "n/a": "leave the cell empty", "NA": "leave the cell empty", "-": "leave the cell empty",
    "unknown": "leave the cell empty", "#REF!": "leave the cell empty", "38,1": "with a decimal point",
    "1,200": "between the thousands", "1.200,50": "between the thousands", "1 200": "between the thousands",
    "38 years": "without its unit", "$38": "without its unit", "38%": "without its unit", "<38": "without its unit",
    "1_0": "correct the cell", "forty": "correct the cell", "\u0663\u0668": "with the digits 0 to 9", "\u22123": "the sign -",
    "(38)": "with a minus in front", "38-": "with a minus in front", "'38": "without quotes", '="38"': "without quotes",
    "1,23,456": "between the thousands", "0x26": "without its unit", "3 8": "correct the cell",
}  # fmt: skip


@pytest.mark.parametrize(("odd", "advice"), MISTAKES.items())
def test_one_odd_cell_among_numbers_is_refused_with_its_row(odd: str, advice: str) -> None:
    cells = ages()
    cells[7] = odd
    with pytest.raises(InputError) as caught:
        parse_feature(column(cells))
    assert f"t.csv: row 9: age is {odd!r}, and 39 of the column's 40 cells are plain numbers: " in str(caught.value)
    assert advice in str(caught.value)
    found = parse_feature(column(cells), categorical=True)
    assert found.values == cells
    assert found.warnings == ()


@pytest.mark.parametrize("notation", ["{},5", "1.{:03d}", "1,{:03d}", "1,{:03d}.50", "-{},25", "1'{:03d}"])
def test_a_whole_column_in_another_notation_is_refused(notation: str) -> None:
    with pytest.raises(InputError, match=r"row 2: age is .* and 0 of the column's 30 cells are plain numbers"):
        parse_feature(column([notation.format(200 + i) for i in range(30)])) if "1.{" not in notation else parse_feature(
            column([f"1.{200 + i}.000" for i in range(30)])
        )


@pytest.mark.parametrize(
    "notation",
    [
        "\u2212{}",
        "({})",
        "{}-",
        "'{}",
        '"{}"',
        '="{}"',
        "1,23,{:03d}",
        "1\u00a0{:03d}",
        "1\u2019{:03d}",
        "\uff11{}",
        "1.{:03d},5",
    ],
)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 1.0])
def test_numbers_as_people_and_other_programs_write_them_never_become_categories(notation: str, share: float) -> None:
    n = int(40 * share)
    cells = [notation.format(200 + i) for i in range(n)] + [str(i) for i in range(40 - n)]
    with pytest.raises(InputError, match=rf"row 2: age is .* and {40 - n} of the column's 40 cells are plain numbers: write "):
        parse_feature(column(cells))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.45])
def test_missing_values_in_words_are_refused_however_many(share: float) -> None:
    with pytest.raises(InputError, match="leave the cell empty where the value is missing"):
        parse_feature(column(ages(*["?"] * int(40 * share / (1 - share)))))


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95])
def test_a_column_of_numbers_and_mostly_missing_values_in_words_is_warned_about(share: float) -> None:
    found = parse_feature(column(ages(*["?"] * int(40 * share / (1 - share)))))
    assert "age is '?', where the other cells are numbers: the column counts as categories (leave the cell" in found.warnings[0]


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["red", "Red", "blue"], "'red' and 'Red' are the same text but for case: they count as different categories"),
        (["a b", "a\u00a0b", "c"], "are the same text but for blanks"),
        (["x", "y", "z", "1", "1.0"], "'1' and '1.0' are the same number"),
        (["red", "None"], "'None' (1 rows) may mean that the value is missing: it counts as a category of its own"),
        (["red", "N/A", "N/A"], "'N/A' (2 rows) may mean that the value is missing"),
        (["red", "?"], "'?' (1 rows) may mean that the value is missing"),
        (["?", "?"], "'?' (2 rows) may mean that the value is missing"),
    ],
)
def test_categories_in_two_notations_or_for_missing_values_are_warned_about(cells: list[str], says: str) -> None:
    found = parse_feature(column(cells))
    assert found.values == cells
    assert says in found.warnings[0]
    assert parse_feature(column(cells), named=True).warnings == parse_feature(column(cells), categorical=True).warnings == ()


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e400", "1e39"])
def test_numbers_without_end_are_named_with_their_row(cell: str) -> None:
    found = parse_feature(column(ages(cell)))
    assert found.warnings == (f"t.csv: row 42: age is {cell!r}: 1 rows without a finite number are left out",)
    assert not np.isfinite(np.asarray(found.values)[40])


@pytest.mark.parametrize("cells", [[str(2**60 + i) for i in range(30)], [f"17{i:08d}" for i in range(30)]], ids=["ids", "times"])
def test_numbers_that_inputs_cannot_tell_apart_are_warned_about(cells: list[str]) -> None:
    (said,) = parse_feature(column(cells)).warnings
    assert "age holds 30 different numbers, and" in said
    assert "with the 7 digits of an input: is it an id or a time?" in said


def test_one_number_in_several_notations_is_one_input() -> None:
    assert parse_feature(column(["1", "1e0", "1.0", "2", "2.0", "NaN"] * 5)).warnings == ()


@pytest.mark.parametrize(("name", "warned"), [("sample_id", True), ("Nr.", True), ("No", True), ("key", True), ("income", False)])
def test_whole_numbers_that_differ_in_every_row_may_be_names(name: str, warned: bool) -> None:
    cells = [str(7 * i + 300) for i in range(30)]
    found = parse_feature(LabelColumn("t.csv", name, range(30), cells))
    assert bool(found.warnings) == warned
    assert parse_feature(LabelColumn("t.csv", name, range(60), cells * 2)).warnings == ()


@pytest.mark.parametrize("notation", ["{} kg", "{}%", "\u20ac{}", "{}cm", ">{}", "{} \u00b0C"])
def test_numbers_with_units_are_categories_with_a_warning(notation: str) -> None:
    found = parse_feature(column([notation.format(20 + i) for i in range(30)]))
    assert isinstance(found.values, list)
    assert "the cells look like numbers with units: the column counts as categories" in found.warnings[0]


@pytest.mark.parametrize(
    "cells",
    [["a", "b", "a"], ["10th", "HS-grad", "11th", "Masters", "9th"], ["1_0", "10", "2_0"], ["20-29", "30-39"], ["True", "False"],
     ["2020-01-31", "2020-02-28"], ["31.01.2020", "28.02.2020"], ["10.0.0.1", "10.0.0.2"], ["12:30", "13:45"],
     ["1-2", "3-4"], ["A1", "B2"], ["E11.9", "250.8", "V27"], ["", "x"]],
)  # fmt: skip
def test_categories_stay_categories_without_a_word(cells: list[str]) -> None:
    found = parse_feature(column(cells))
    assert found.values == cells
    assert found.warnings == ()


def test_facts_name_kind_range_and_number_of_values() -> None:
    assert parse_feature(column(["3", "", "0.5", "3.0"])).fact == "age: number, 0.5 to 3, 2 values, 1 missing"
    assert parse_feature(column(["", ""])).fact == "age: number, no values"
    assert parse_feature(column(["x", "y", "x", ""])).fact == "age: categories, 2 values (x, y), 1 missing"
    assert parse_feature(column(list("abcdefgh"))).fact == "age: categories, 8 values (a, b, c, d, e, f, ...)"


@pytest.mark.parametrize(
    "cells",
    [
        ["007", "012", "034"],
        ["01", "2"],
        [str(i) for i in range(20)],
        [str(i) for i in range(20, 0, -1)],
        [str(i) for i in range(5000, 5120)],
    ],
)
def test_numbers_that_may_be_codes_or_row_numbers_are_warned_about(cells: list[str]) -> None:
    (said,) = parse_feature(column(cells)).warnings
    assert re.search("leading zeros may be codes|counts the rows from ([01]|5000) to (19|20|5119): is it a feature", said)


STYLES = {
    "minus": lambda text: text.replace("-", "\u2212"),
    "brackets": lambda text: f"({text.removeprefix('-')})",
    "minus behind": lambda text: f"{text.removeprefix('-')}-",
    "apostrophe": "'{}".format,
    "formula": '="{}"'.format,
    "full width": lambda text: text.translate(str.maketrans("0123456789-", "".join(map(chr, range(0xFF10, 0xFF1A))) + "\uff0d")),
    "Arabic digits": lambda text: text.translate(str.maketrans("0123456789", "".join(map(chr, range(0x660, 0x66A))))),
    "Indian digits": lambda text: text.translate(str.maketrans("0123456789", "".join(map(chr, range(0x966, 0x970))))),
    "decimal comma": lambda text: f"{text},5",
}


@given(st.integers(-(10**9), -1), st.sampled_from(sorted(STYLES)))
def test_every_number_in_another_notation_has_an_advice(value: int, style: str) -> None:
    assert number_advice(STYLES[style](str(value))).startswith("write ")
    assert number_advice(str(value)) == ""


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_whatever_a_program_writes_for_numbers_is_read_as_numbers(numbers: list[float]) -> None:
    found = parse_feature(column([number_text(value) for value in numbers]))
    assert np.array_equal(np.asarray(found.values), np.array(numbers, dtype=np.float32))
    assert isinstance(parse_feature(column([repr(value) for value in numbers])).values, np.ndarray)


def test_a_table_that_has_columns_with_other_roles_alone_is_refused() -> None:
    with pytest.raises(InputError, match=r"t\.csv: no column is left as a feature: name them under 'features'"):
        feature_columns(named("Unnamed: 0", ["0", "1"]), (), {"age"})
