"""Labels recovered from features, distances between models, relearning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.outcomes import values_of
from support.white_box_models import problem

from grmu_audit.metrics import check_predictions
from grmu_audit.metrics.white_box.representation import (
    label_recovery_changes,
    measure_distances,
    measure_label_recovery,
    measure_relearning,
    recover_labels,
)
from grmu_audit.records.metric_value import reference
from grmu_audit.records.white_box import Missing, MissingCode


def test_labels_are_found_where_features_hold_them_and_not_where_they_do_not() -> None:
    f, outputs = problem()
    found = {v.name: v for v in values_of(measure_label_recovery(f, recover_labels(f, outputs))) if v.group is None}
    assert all(v.value is not None and v.value > 0.9 for v in found.values())
    assert found["KNN"].n == 60
    assert found["PROTO"].n == 50
    rng = np.random.default_rng(1)
    assert outputs.features is not None
    noise = replace(outputs, features=rng.normal(size=outputs.features.shape).astype(np.float32))
    lost = {v.name: v for v in values_of(measure_label_recovery(f, recover_labels(f, noise))) if v.group is None}
    assert all(v.value is not None and 0.25 < v.value < 0.75 for v in lost.values())
    changes = values_of(label_recovery_changes(f, (recover_labels(f, outputs), recover_labels(f, noise))))
    assert all(c.interval is not None and c.interval[0] > 0 for c in changes)


def test_distances_to_itself_are_none_and_missing_sides_say_why() -> None:
    f, outputs = problem()
    same = {v.name: v for v in values_of(measure_distances((f, outputs), {reference(1): (f, outputs)})) if not v.group}
    assert same["CKA"].value == pytest.approx(1.0)
    assert same["JS"].value == pytest.approx(0.0, abs=1e-12)
    assert same["ACTIVATION_DISTANCE"].value == pytest.approx(0.0, abs=1e-12)
    other = problem(7)
    far = {v.name: v for v in values_of(measure_distances((f, outputs), {reference(1): other})) if not v.group}
    assert far["CKA"].interval is not None
    assert far["CKA"].interval[1] < 0.7
    alone = values_of(measure_distances((f, outputs), {}))
    assert {v.why_missing for v in alone} == {"no reference model was given"}


def test_relearning_counts_epochs_and_a_run_that_never_gets_there_is_undefined() -> None:
    f, outputs = problem()
    curves = np.array([[2.0, 0.5, 0.09, 0.01], [2.0, 0.05, 0.01, 0.01]])
    (found,) = measure_relearning(f, replace(outputs, relearn=curves))
    assert (found.estimate, found.basis.n) == (1.5, 60)
    (never,) = measure_relearning(f, replace(outputs, relearn=curves + 1))
    assert never.estimate is None
    assert "did not fall below 0.1 in 3 epochs" in never.reason
    assert list(measure_relearning(f, outputs)) == []
    left_out = replace(outputs, missing={"relearn": Missing(MissingCode.NOT_APPLICABLE, "no training rows")})
    assert [found.reason for found in measure_relearning(f, left_out)] == ["no training rows"]


def moved(f, first, last, to):
    """The same predictions, of which these rows belong to another split; rows 0 to 149 are retained, 150 to 209 forgotten."""
    split = f.predictions.split.copy()
    split[first:last] = to
    return check_predictions(replace(f.predictions, split=split))


WAYS = {
    "KNN": "5 retain samples",
    "PROBE": "validation samples of two classes",
    "PROTO": "samples of two classes, and more than 5 forget samples of one",
}


def missing(*names: str) -> dict[str, str]:
    return {name: f"needs features and {WAYS[name]}" for name in names}


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda f, o: (f, replace(o, features=None)), missing(*WAYS)),
        (lambda f, o: (moved(f, 150, 210, 0), o), dict.fromkeys(WAYS, "no forget sample (n = 0)")),
        (lambda f, o: (moved(f, 154, 210, 0), o), missing("PROTO")),
        (lambda f, o: (check_predictions(replace(f.predictions, target=0 * f.predictions.target)), o), missing("PROBE", "PROTO")),
        (lambda f, o: (moved(f, 0, 150, 3), o), missing("KNN")),
    ],
)
def test_a_way_to_recover_labels_that_lacks_samples_says_what_it_needs(change, reasons) -> None:
    f, outputs = problem()
    changed = change(f, outputs)
    recovered = recover_labels(*changed)
    assert set(recovered) == set(WAYS) - set(reasons)
    found = [o for o in measure_label_recovery(changed[0], recovered) if o.group is None]
    assert {o.metric: o.reason for o in found} == {**dict.fromkeys(WAYS, ""), **reasons}
    changes = label_recovery_changes(changed[0], (recovered, {**recovered, **recover_labels(f, outputs)}))
    assert [o.metric for o in changes] == [name for name in WAYS if name not in reasons]


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (
            lambda f, o: (moved(f, 150, 210, 0), o),
            dict.fromkeys(("CKA", "ACTIVATION_DISTANCE", "JS"), "no forget sample (n = 0)"),
        ),
        (lambda f, o: (f, replace(o, features=None)), {"CKA": "needs features of both models"}),
        (
            lambda f, o: (check_predictions(replace(f.predictions, logits=None)), o),
            dict.fromkeys(("ACTIVATION_DISTANCE", "JS"), "needs logits"),
        ),
        (lambda f, o: (moved(f, 157, 210, 0), o), {"CKA": "needs 8 forget samples of 3 people, and features that vary (n = 7)"}),
    ],
)
def test_a_distance_that_lacks_samples_or_outputs_says_what_it_needs(change, reasons) -> None:
    model = change(*problem())
    for one, other in ((model, problem(7)), (model, model)):
        found = {o.metric: o for o in measure_distances(one, {reference(1): other}) if o.group is None}
        assert {name: o.reason for name, o in found.items()} == {"CKA": "", "ACTIVATION_DISTANCE": "", "JS": "", **reasons}
        assert {name for name, o in found.items() if o.estimate is None} == set(reasons)


def test_features_of_two_people_have_no_similarity() -> None:
    f, outputs = problem()
    for people, known in ((2, False), (3, True)):
        few = check_predictions(replace(f.predictions, subject=np.arange(400) % people))
        found = next(measure_distances((few, outputs), {reference(1): (few, outputs)}))
        assert (found.metric, found.group, found.basis.persons) == ("CKA", None, people)
        assert (found.estimate == pytest.approx(1.0)) == known == (found.statistic is not None)
