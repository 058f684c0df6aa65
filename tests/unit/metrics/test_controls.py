"""Controls: what is measured of models that stand in the candidate's place."""

from __future__ import annotations

import numpy as np
import pytest
from support.measured_audits import measured

from grmu_audit.metrics.catalog.examples import example
from grmu_audit.metrics.controls import cheats
from grmu_audit.records import BASELINE, CANDIDATE, Audit, reference


@pytest.fixture(scope="module")
def audit() -> Audit:
    return measured(example(), example("baseline"), [example("retrained"), example("retrained", seed=1)])


def test_three_null_controls_then_every_reference(audit: Audit) -> None:
    found = [(control.name, control.model, control.made) for control in audit.controls]
    assert found == [
        ("before", BASELINE, False),
        ("before, logits x 0.3", BASELINE, True),
        ("before, labels only", BASELINE, True),
        ("reference#1", reference(1), False),
        ("reference#2", reference(2), False),
    ]


def test_the_model_before_has_a_share_of_0_and_the_changes_from_the_references_are_measured(audit: Audit) -> None:
    values = {(value.name, value.subject): value for value in audit.controls[0].values}
    assert values["FORGET_SHARE", CANDIDATE].value == 0.0
    change = values["UA", reference(0).as_change()]
    own = {subject: audit.metric("UA", subject).value for subject in (BASELINE, reference(1), reference(2))}
    assert change.value == pytest.approx(own[BASELINE] - (own[reference(1)] + own[reference(2)]) / 2)


def test_cheats_keep_every_label_and_are_measured_where_scores_matter(audit: Audit) -> None:
    before = example("baseline")
    for name, cheat in cheats(before).items():
        assert (cheat.prediction == before.prediction).all()
        assert (cheat.logits.argmax(axis=1) == before.prediction).all(), name
    for control in audit.controls[1:3]:
        assert {value.name for value in control.values} == {"FORGET_SHARE", "MIA_AUC"}
        assert {value.subject for value in control.values} == {CANDIDATE, BASELINE.as_change()}


def test_of_a_reference_the_changes_from_the_model_before_are_known(audit: Audit) -> None:
    values = {(value.name, value.subject): value.value for value in audit.controls[3].values}
    expected = audit.metric("GA", reference(1)).value - audit.metric("GA", BASELINE).value
    assert values["GA", BASELINE.as_change()] == pytest.approx(expected)


def test_there_are_none_without_a_model_before_and_no_cheat_without_scores() -> None:
    assert measured(example()).controls == ()
    from dataclasses import replace

    labels = [replace(example(kind), logits=None) for kind in ("unlearned", "baseline", "retrained")]
    assert [c.name for c in measured(labels[0], labels[1], [labels[2]]).controls] == ["before", "reference#1"]


def test_outputs_equal_up_to_rounding_are_found() -> None:
    from dataclasses import replace

    before = example("baseline")
    for shift, same in ((0.0, True), (1e-7, True), (1e-3, False)):
        moved = replace(before, logits=before.logits + shift * np.array([1.0, -1.0]))
        assert measured(moved, before).unchanged is same
