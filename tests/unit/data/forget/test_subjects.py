"""Requests by person."""

import pandas as pd
import pytest

from grmu_audit.data.forget import read_forget_list, rows_of_subjects, with_whole_subjects
from grmu_audit.errors import ForgetListError

FRAME = pd.DataFrame({"id": ["a", "b", "c", "d", "e", "f"], "subject": [2880, 2880, 2881, "(row 3)", 2882, 2882]})


def read(tmp_path, text):
    (tmp_path / "ids.csv").write_text(text)
    return read_forget_list(tmp_path / "ids.csv")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("subject\n2880\n", ("a", "b")),
        ("Subject,request_id\n2882,R-1\n2881,R-2\n", ("e", "f", "c")),
        ("received_at,subject\n2026-01-01,2881\n", ("c",)),
        ("id,subject\na,somebody\n", ("a",)),
        ("subject,id\nx,b\n", ("b",)),
    ],
)
def test_a_list_of_subjects_is_a_list_of_their_rows(tmp_path, text, ids):
    parsed = rows_of_subjects(read(tmp_path, text), FRAME, "person")
    assert parsed.ids == ids
    assert all(len(values) == len(ids) for values in parsed.columns.values())


def test_a_list_of_subjects_in_parquet(tmp_path):
    pd.DataFrame({"subject": [2880, 2881]}).to_parquet(tmp_path / "ids.parquet")
    assert rows_of_subjects(read_forget_list(tmp_path / "ids.parquet"), FRAME, "person").ids == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "subject_name", "says"),
    [
        ("subject\n02880\n", "person", "row 2: the subject '02880' is not in the data (only the notation differs from '2880')"),
        ("subject\n2880.0\n", "person", "row 2: the subject '2880.0' is not in the data (only the notation differs from '2880')"),
        ("subject\n2880\n2881\n2880\n", "person", "row 4: the subject '2880' is already in row 2: remove one of the two"),
        ("subject\n2880\n9\n", "person", "row 3: the subject '9' is not in the data: correct or remove the row"),
        ("subject\n2880\n", "", "the list has no column 'id', and the data has no subjects"),
        ("subject,note\n,x\n", "person", "row 2: the subject is empty"),
        ("name,ground\na,b\n", "person", "no column 'id' in the header"),
        ("subject,subject\na,b\n", "person", "several columns 'subject'"),
    ],
)
def test_subjects_that_are_not_there_are_named_with_their_rows(tmp_path, text, subject_name, says):
    with pytest.raises(ForgetListError) as caught:
        rows_of_subjects(read(tmp_path, text), FRAME, subject_name)
    assert says in str(caught.value)


def test_rows_that_earlier_requests_named_are_neither_counted_nor_taken(tmp_path):
    parsed = read(tmp_path, "id\ne\n")
    assert with_whole_subjects(parsed, FRAME, ("f",), take=False) == (parsed, 0)
    assert with_whole_subjects(parsed, FRAME, ("f",), take=True) == (parsed, 0)
    assert with_whole_subjects(parsed, FRAME, ("a",), take=False) == (parsed, 1)


@pytest.mark.parametrize(
    ("ids", "others", "taken"),
    [("a", 1, "ab"), ("ab", 0, "ab"), ("ac", 1, "acb"), ("d", 0, "d"), ("ae", 2, "aebf"), ("ef", 0, "ef")],
)
def test_rows_of_the_same_subjects_are_counted_or_taken(tmp_path, ids, others, taken):
    parsed = read(tmp_path, "id,request_id\n" + "".join(f"{name},R-{name}\n" for name in ids))
    assert with_whole_subjects(parsed, FRAME, take=False) == (parsed, others)
    found, left = with_whole_subjects(parsed, FRAME, take=True)
    assert (found.ids, left) == (tuple(taken), 0)
    assert len(found.columns["request_id"]) == len(taken)
    subjects = dict(zip(FRAME["id"], FRAME["subject"], strict=True))
    requests = dict(zip(found.ids, found.columns["request_id"], strict=True))
    assert all(subjects[name] == subjects[requests[name].removeprefix("R-")] for name in taken), (
        "each row has its person's request"
    )
