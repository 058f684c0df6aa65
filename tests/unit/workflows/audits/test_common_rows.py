"""Rows that all models have outputs of, where forgotten rows went in between."""

from __future__ import annotations

import numpy as np
import pytest

from grmu_audit.errors import IntegrityError
from grmu_audit.evaluation.predict import ModelOutputs
from grmu_audit.records import ModelRef
from grmu_audit.tracking.requests import StoredRequest
from grmu_audit.workflows.audits.common_rows import common_outputs

WHOLE = ["a", "b", "c", "d"]


def outputs(names: list[str]) -> ModelOutputs:
    n = len(names)
    zeros = np.zeros(n, dtype=np.int64)
    logits = np.array([[WHOLE.index(name), 0.0] for name in names])
    return ModelOutputs(np.array(names), np.array(["train"] * n), zeros, zeros, zeros, logits)


def found(tables: list[list[str]], present: list[str], forgotten: str, withheld: str = "", *, stored: bool = True):  # type: ignore[no-untyped-def]
    named = [(ModelRef("m", str(i)), outputs(names)) for i, names in enumerate(tables, 1)]
    request = StoredRequest("d", frozenset(forgotten), (), (), {}, frozenset(withheld))
    return common_outputs(named, present, request, stored=stored)


def test_whole_tables_come_back_as_they_are() -> None:
    both = found([WHOLE, WHOLE], WHOLE, "ab")
    assert [table.ids.tolist() for table in both.outputs] == [WHOLE, WHOLE]
    assert (both.request.pseudonyms, both.not_measured) == (frozenset("ab"), ())


def test_deleted_rows_are_measured_while_every_model_has_an_output_of_them() -> None:
    both = found([WHOLE, WHOLE], ["b", "c", "d"], "ab")
    assert [table.ids.tolist() for table in both.outputs] == [WHOLE, WHOLE]
    assert both.request.pseudonyms == frozenset("ab")
    run_on_data = found([WHOLE, WHOLE], ["b", "c", "d"], "ab", stored=False)
    assert [table.ids.tolist() for table in run_on_data.outputs] == [["b", "c", "d"]] * 2
    assert [one.name for one in run_on_data.not_measured] == ["forgetting of a few deleted rows"]


@pytest.mark.parametrize("present", [["b", "c", "d"], WHOLE], ids=["deleted", "restored"])
def test_else_the_common_rows_are_measured_and_the_others_named(present: list[str]) -> None:
    both = found([["d", "c", "b"], WHOLE], present, "ab")
    assert [table.ids.tolist() for table in both.outputs] == [["d", "c", "b"], ["b", "c", "d"]]
    assert both.outputs[1].logits[:, 0].tolist() == [1, 2, 3]
    assert both.request.pseudonyms == frozenset("b")
    assert len(both.not_measured) == 1


def test_both_after_the_deletion() -> None:
    both = found([["b", "c", "d"]] * 2, ["b", "c", "d"], "ab")
    assert both.request.pseudonyms == frozenset("b")
    assert len(both.not_measured) == 1


def test_a_deleted_row_that_no_evaluation_uses_is_nothing_to_speak_of() -> None:
    both = found([WHOLE, ["a", "b", "d"]], ["a", "b", "d"], "a", "c")
    assert [table.ids.tolist() for table in both.outputs] == [["a", "b", "d"]] * 2
    assert (both.request.pseudonyms, both.request.withheld, both.not_measured) == (frozenset("a"), frozenset("c"), ())


@pytest.mark.parametrize("tables", [[WHOLE, ["a", "b", "c"]], [[*WHOLE[:3]], WHOLE]])
def test_other_differences_are_refused(tables: list[list[str]]) -> None:
    with pytest.raises(IntegrityError, match="1 rows that no request"):
        found(tables, WHOLE, "ab")
