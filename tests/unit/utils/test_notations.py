"""Notations of one label: what is the same, what is refused, what is warned about."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.errors import InputError
from grmu_audit.utils.notations import (
    LabelColumn,
    by_notation,
    check_notations,
    clashes,
    notation_key,
    other_notation,
    plain_text,
)

SAME_NUMBER = [
    ("1", "1.0"), ("0", "0.0"), ("1", "01"), ("1", "+1"), ("-1", "\u22121"), ("0", "-0"), ("1", "1."), ("0.5", ".50"),
    ("1", "\uff11"), ("1", "\u0661"), ("10", "\u0967\u0966"), ("1000", "1.0e3"),
    ("1000000", "1E+06"), ("12345678901234567890123", "12345678901234567890123.0"),
]  # fmt: skip
SAME_TEXT = [
    ("F", "f"), ("Female", " female "), ("East Asian", "east  asian"), ("caf\u00e9", "cafe\u0301"), ("20-29", "20\u201329"),
    ("a b", "a\u00a0b"), ("men", "men\u200b"), ("O'Neil", "O\u2019Neil"), ("\uff26", "F"), ("\ufb01n", "FIN"),
    ("kad\u0131n", "KADIN"), ("\u0130zmir", "izmir"), ("1/2", "\u00bd"), ("stra\u00dfe", "STRASSE"), ("m2", "m\u00b2"),
]  # fmt: skip
DIFFERENT = [
    ("1", "10"), ("12345678901234567890123", "12345678901234567890124"), ("0e12", "0e13"), ("1_0", "10"), ("20-29", "2029"),
    ("F", "M"), ("a b", "ab"), ("-1", "1"), ("x1", "x01"), ("1.1", "1.01"),
]  # fmt: skip


def column(*cells: str) -> LabelColumn:
    return LabelColumn("t.csv", "sex", range(2, 2 + len(cells)), cells)


@pytest.mark.parametrize(("one", "other"), SAME_NUMBER + SAME_TEXT)
def test_one_label_in_two_notations_is_refused_with_its_rows(one: str, other: str) -> None:
    one, other = one.strip(), other.strip() or other
    if one == other:
        one = one.upper()
    assert notation_key(one) == notation_key(other)
    with pytest.raises(InputError) as caught:
        check_notations(column(one, one, other, "third"))
    assert "t.csv: column 'sex': " in str(caught.value)
    assert "in 2 rows (first: row 2)" in str(caught.value)
    assert "in 1 rows (first: row 4)" in str(caught.value)
    assert ("the same number" in str(caught.value)) == ((one, other) in SAME_NUMBER)
    assert other_notation(other, by_notation([one])) == f" (only the notation differs from {one!r})"


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_labels_stay_different(one: str, other: str) -> None:
    assert clashes([one, other]) == []
    assert other_notation(one, by_notation([other])) == ""


def test_labels_that_differ_in_case_only_are_kept_apart_on_request() -> None:
    assert check_notations(column("a", "A", "b", "B"), exact=True) == []
    with pytest.raises(InputError, match=r"'a' and 'A' are the same text but for case: .*--exact-labels keeps labels apart"):
        check_notations(column("a", "A", "b", "B"))
    with pytest.raises(InputError, match="the same number") as caught:
        check_notations(column("1", "1.0"), exact=True)
    assert "--exact-labels" not in str(caught.value)


@pytest.mark.parametrize("cell", ["NaN", "nan", "NA", "N/A", "#N/A", "<NA>", "NaT", "NULL", "(null)", "\\N", "#REF!", "#DIV/0!"])
def test_what_other_programs_write_for_a_missing_label_is_refused(cell: str) -> None:
    with pytest.raises(InputError, match=r"t.csv: row 3: sex is .*: leave the cell empty if the label is missing"):
        check_notations(column("F", cell))


@pytest.mark.parametrize("cell", ["None", "?", "unknown", "-", "--", ".", "Not specified", "missing", "*"])
def test_what_may_mean_a_missing_label_is_warned_about_with_its_count(cell: str) -> None:
    (said,) = check_notations(column("F", cell, "M", cell))
    assert f"t.csv: column 'sex': {cell!r} (2 rows) may mean that the label is missing" in said


@pytest.mark.parametrize(
    "cells",
    [
        ("f", "female"),
        ("M", "male"),
        ("yes", "1", "0"),
        ("true", "y"),
        ("East_Asian", "east asian"),
        ("3-9", "3 9"),
        ("F", "\u201cF\u201d"),
        ("F", "'F'"),
        ("F", "F."),
        ("and/or", "and / or"),
        ("M", "\u041c"),
        ("A", "\u0391"),
        ("1,0", "1.0"),
    ],
)
def test_words_that_may_mean_the_same_are_warned_about(cells: tuple[str, ...]) -> None:
    (said,) = check_notations(column(*cells))
    assert "may mean the same: they count as different labels" in said


@pytest.mark.parametrize(
    "cells",
    [
        ("F", "M"),
        ("0", "1"),
        ("yes", "no"),
        tuple("ABCDEFTYN"),
        ("true", "false"),
        ("-1", "1"),
        ("",),
        ("A", "A-", "B+", "B"),
        ("<=50K", ">50K"),
        ("C", "C#", "C++"),
        ("A1.0", "A10"),
        ("AB-", "AB+"),
        ("ab", "a b"),
    ],
)
def test_usual_labels_are_neither_refused_nor_warned_about(cells: tuple[str, ...]) -> None:
    assert check_notations(column(*cells)) == []


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3), st.integers(0, 3), st.integers(0, 4))
def test_every_plain_notation_of_a_number_has_one_key(number: object, zeros: int, before: int) -> None:
    text = f"{number:f}"
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    assert notation_key(f"{sign}{'0' * before}{digits}{'0' * zeros}") == notation_key(text)


@given(
    st.text(max_size=20),
    st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
    st.booleans(),
    st.sampled_from(["", " ", "\u00a0", "\u200b"]),
)
def test_case_form_and_blanks_do_not_change_the_key(text: str, form: str, upper: bool, around: str) -> None:
    changed = around + unicodedata.normalize(form, text) + around  # type: ignore[arg-type]
    assert notation_key(changed) == notation_key(text)
    if text.isascii():
        assert notation_key(text.upper() if upper else text.lower()) == notation_key(text)
    assert plain_text(plain_text(text)) == plain_text(text)


@given(st.lists(st.integers(0, 10**25), unique=True, max_size=20))
def test_different_whole_numbers_never_clash(numbers: list[int]) -> None:
    assert clashes(map(str, numbers)) == []


@given(st.lists(st.text(alphabet="aA0 1.+-", min_size=1, max_size=5), unique=True, max_size=12))
def test_the_fast_way_finds_what_the_slow_one_finds(names: list[str]) -> None:
    keys = [notation_key(name, exact=True) for name in names]
    assert bool(clashes(names, exact=True)) == (len(set(keys)) < len(keys))
