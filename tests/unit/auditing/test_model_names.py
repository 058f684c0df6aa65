"""Names of one model: no row of one bundle is found in that of another, and no number depends on names."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from support.judged_audits import inputs_of, predictions

from grmu_audit.auditing.measurement import measure
from grmu_audit.auditing.model_names import with_model_names
from grmu_audit.evidence import model_row_names
from grmu_audit.records import AuditContext, DataRecord, ModelRef
from grmu_audit.records.inputs import EarlierRequest, OwnRequest
from grmu_audit.records.white_box import ShadowTable, WhiteBoxOutputs

TABLES = [predictions(seed, 300) for seed in (700, 701, 702)]
INPUTS = inputs_of(ModelRef("faces", "1"), TABLES)


def test_rows_of_two_models_have_other_names_another_order_and_other_numbers_of_people() -> None:
    one, other = (with_model_names(INPUTS, model).candidate.predictions for model in ("faces", "digits"))
    assert not set(one.ids) & set(other.ids)
    assert not (set(one.ids) | set(other.ids)) & set(TABLES[0].ids)
    assert one.ids.tolist() == sorted(one.ids.tolist())
    of_row = {name: place for place, name in enumerate(model_row_names("faces", TABLES[0].ids.tolist()))}
    rows = [of_row[name] for name in one.ids.tolist()]
    assert (one.target == TABLES[0].target[rows]).all()
    assert (one.logits == TABLES[0].logits[rows]).all()  # type: ignore[index]
    assert one.subject is not None
    assert other.subject is not None
    assert TABLES[0].subject is not None
    pairs = set(zip(one.subject.tolist(), TABLES[0].subject[rows].tolist(), strict=True))
    assert len(pairs) == len(set(one.subject.tolist())) == len(set(TABLES[0].subject.tolist())), "the same people"
    first = dict(zip(rows, one.subject.tolist(), strict=True))
    of_other = {name: place for place, name in enumerate(model_row_names("digits", TABLES[0].ids.tolist()))}
    second = {of_other[name]: code for name, code in zip(other.ids.tolist(), other.subject.tolist(), strict=True)}
    assert sum(first[row] == second[row] for row in first) < len(first) / 4


def test_no_number_but_those_of_random_forests_depends_on_names() -> None:
    context = AuditContext(DataRecord("d" * 64, {}, "imagined"))
    before, after = (measure(inputs, context) for inputs in (INPUTS, with_model_names(INPUTS, "faces")))
    numbers = [{(v.name, str(v.subject), v.group): v.value for v in audit.metrics} for audit in (before, after)]
    assert numbers[0].keys() == numbers[1].keys()
    moved = {key[0] for key, value in numbers[0].items() if not _close(value, numbers[1][key])}
    assert moved <= {"MIA", "MIA_PAPER", "AVG_GAP"}, moved


def _close(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and abs(one - other) < 1e-9)


def test_everything_that_is_collected_by_row_is_renamed_alike() -> None:
    ids = TABLES[0].ids
    shadows = ShadowTable(ids, np.zeros((4, len(ids))), np.zeros((4, len(ids)), bool), np.ones(len(ids), bool))
    earlier = EarlierRequest("faces/0", frozenset(ids[:3].tolist()), TABLES[1], TABLES[2])
    candidate = replace(INPUTS.candidate, white_box=WhiteBoxOutputs(ids))
    own = (OwnRequest("R-1", frozenset(ids[3:5].tolist())),)
    given = replace(INPUTS, candidate=candidate, shadows=shadows, earlier=(earlier,), own=own, root=INPUTS.candidate)
    assert all(getattr(given, field.name) for field in fields(given)), (
        "a new part of the inputs: rename its rows, and say so here"
    )
    found = with_model_names(given, "faces")
    names = model_row_names("faces", ids.tolist())
    assert found.shadows is not None
    assert found.candidate.white_box is not None
    assert found.shadows.ids.tolist() == found.candidate.white_box.ids.tolist() == names
    assert found.earlier[0].ids == frozenset(names[:3])
    assert found.own[0].ids == frozenset(names[3:5])
    tables = [model.predictions for model in found.models.values()] + [found.earlier[0].before, found.earlier[0].served]
    assert all(table.ids.tolist() == sorted(names) for table in tables)
    assert all(table.ids is found.candidate.predictions.ids for table in tables), "the names lie in memory once, not once a model"


def test_predictions_without_people_have_none_under_other_names() -> None:
    table = replace(TABLES[0], subject=None)
    found = with_model_names(inputs_of(ModelRef("faces", "1"), [table]), "faces").candidate.predictions
    assert found.subject is None
    assert found.ids.tolist() == sorted(model_row_names("faces", table.ids.tolist()))
