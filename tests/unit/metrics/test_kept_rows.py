"""A purged model on the rows that stayed: its metrics are those of these rows alone, and the others say why there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.measurements.imagined_audits import predictions
from grmu_audit.errors import InputError
from grmu_audit.metrics.checked_predictions import check_predictions, of_ids
from grmu_audit.metrics.measure import measure_models
from grmu_audit.records import BASELINE, CANDIDATE, ROOT, AuditedModel, AuditInputs, ModelRef
from grmu_audit.records.audit import PURGED_REASON
from grmu_audit.records.metric_value import reference

OWN, BEFORE, RETRAINED, FIRST = (predictions(number, n=400) for number in (100, 101, 102, 103))


def model(version: str, table: object, purged: str = "") -> AuditedModel:
    return AuditedModel(ModelRef("m", version), table, purged=purged)  # type: ignore[arg-type]


def test_changes_are_those_on_the_rows_that_stayed() -> None:
    test = OWN.ids[OWN.mask("test")]
    inputs = AuditInputs(
        model("4", OWN), model("3", BEFORE), (model("5", RETRAINED),), root=model("1", of_ids(FIRST, test), "gone on purpose")
    )
    whole = measure_models(replace(inputs, root=model("1", FIRST)))
    found = measure_models(inputs)
    values = {(v.name, v.subject, v.group): v for v in found.values}
    for value in whole.values:
        now = values.get((value.name, value.subject, value.group))
        if now is None:  # of a group of training rows
            assert value.subject in (ROOT, ROOT.as_change())
            assert value.group is not None
            continue
        if value.subject not in (ROOT, ROOT.as_change()):
            assert (now.value, now.interval) == (value.value, value.interval)
        elif value.name in ("TA", "GA", "WG", "EO", "DP", "EP"):
            assert now.value == pytest.approx(value.value)
            assert now.interval == pytest.approx(value.interval)
        elif value.name in ("RA", "UA"):
            assert now.value is None
            assert now.why_missing == f"{PURGED_REASON}gone on purpose"
    rows = OWN.mask("test")
    expected = (OWN.correct[rows].mean()) - (FIRST.correct[rows].mean())
    assert values["TA", ROOT.as_change(), None].value == pytest.approx(expected)
    assert len(found.predictions[ROOT]) == rows.sum()
    assert {c.name for c in found.controls} == {c.name for c in whole.controls}


def test_without_the_model_before_forgetting_says_why_it_is_not_measured() -> None:
    kept = of_ids(BEFORE, OWN.ids[OWN.mask("test")])
    found = measure_models(AuditInputs(model("2", OWN), model("1", kept, "gone"), (model("3", RETRAINED),)))
    values = {(v.name, v.subject): v for v in found.values if v.group is None}
    for name in ("FORGET_SHARE", "WORST_REQUEST_SHARE", "DELETION_AUC", "GAIN_SHARE"):
        assert values[name, CANDIDATE].why_missing == f"{PURGED_REASON}gone"
    assert values["TA", BASELINE.as_change()].value is not None
    assert values["RA", BASELINE.as_change()].why_missing == f"{PURGED_REASON}gone"
    assert values["TA", reference(1).as_change()].value is not None
    assert found.controls == ()


def test_fewer_rows_without_a_purge_are_refused() -> None:
    kept = of_ids(BEFORE, OWN.ids[OWN.mask("test")])
    with pytest.raises(InputError, match="rows"):
        measure_models(AuditInputs(model("2", OWN), model("1", kept)))
    other = replace(kept, ids=np.array([f"x{i}" for i in range(len(kept))]))
    with pytest.raises(InputError):
        measure_models(AuditInputs(model("2", OWN), model("1", other, "gone")))


def test_declared_cells_stay_declared() -> None:
    table = predictions(100, n=400)
    lonely = replace(table, attribute=np.where(table.mask("test"), 0, table.attribute))
    kept = of_ids(lonely, lonely.ids[lonely.mask("test")])
    found = measure_models(AuditInputs(model("2", lonely), model("1", kept, "gone")))
    change = next(v for v in found.values if (v.name, v.subject) == ("WG", BASELINE.as_change()))
    assert change.incomplete or change.value is None
    assert check_predictions(lonely).empty_cells
