"""The record of rows that were read: every way in which it does not show that no forgotten row was among them."""

from __future__ import annotations

from typing import Any

import pytest

from grmu_audit.auditing.rows_read import SCHEMA, rows_read_defect
from grmu_audit.records import ModelRef
from grmu_audit.utils import canonical_json, sha256_hex

RECORD: dict[str, Any] = {
    "schema": SCHEMA, "data_sha256": "d" * 64, "training_rows": 5, "training_rows_read": 3, "other_rows_read": 0,
    "training_rows_not_read": ["a", "b"],
}  # fmt: skip


def defect(content: bytes | None, forgotten: tuple[str, ...] = ("a", "b"), tagged: bytes | None = None) -> str:
    digest = sha256_hex(content or b"" if tagged is None else tagged)
    ref = ModelRef("m", "2", "retrain", data_digest="d" * 64, config={"rows_read_sha256": digest})
    return rows_read_defect(content, ref, 5, forgotten)


def test_a_record_that_lists_the_forget_set_as_not_read_agrees() -> None:
    assert defect(canonical_json(RECORD)) == ""
    assert defect(canonical_json(RECORD), ("a",)) == ""


def test_a_record_may_hold_forgotten_rows_that_were_deleted_since():
    assert defect(canonical_json({**RECORD, "training_rows": 6, "training_rows_not_read": ["a", "b", "c"]})) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training_rows_not_read": ["a"], "training_rows_read": 4}, "read rows of the forget set"),
        ({"training_rows_read": 2}, "not the one of its run"),
        ({"training_rows": 6}, "not the one of its run"),
        ({"training_rows": 4, "training_rows_read": 2}, "not the one of its run"),
        ({"data_sha256": "e" * 64}, "of other data"),
        ({"schema": "other"}, "of other data"),
        ({"training_rows_read": "many"}, "is damaged"),
        ({"training_rows_not_read": None}, "is damaged"),
    ],
)
def test_a_record_of_something_else_is_named(change: dict[str, Any], said: str) -> None:
    assert said in defect(canonical_json({**RECORD, **change}))


@pytest.mark.parametrize(("content", "said"), [(None, "has no record"), (b"", "damaged"), (b"[]", "damaged"), (b"{}", "damaged")])
def test_no_record_and_no_json_are_named(content: bytes | None, said: str) -> None:
    assert said in defect(content)


def test_a_record_with_another_digest_than_the_version_s_is_not_its_own() -> None:
    assert "not the one of its run" in defect(canonical_json(RECORD), tagged=b"other")
