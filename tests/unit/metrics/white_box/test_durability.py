"""What of the forget set comes back, from answers whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from statsmodels.stats.proportion import proportion_confint

from grmu_audit.metrics import check_predictions
from grmu_audit.metrics.catalog.examples import example, example_white_box
from grmu_audit.metrics.forgetting.share import measure_share
from grmu_audit.metrics.white_box.durability import (
    compare_returned,
    durability_changes,
    epochs_of,
    measure_durability,
    measure_return_share,
)
from grmu_audit.records import BASELINE, CANDIDATE, Group, reference
from grmu_audit.records.white_box import FINE_TUNING, MIXING, Missing, MissingCode, WhiteBoxOutputs

CHANGES = {"RETURN_ACC": "epoch 5", "RETURN_INT8": "int8", "RETURN_INT4": "int4", "RETURN_PRUNED": "pruned"}


@pytest.fixture(scope="module")
def models():
    return {kind: (check_predictions(example(kind)), example_white_box(kind)) for kind in ("unlearned", "baseline", "retrained")}


def audited(models):
    return {CANDIDATE: models["unlearned"], BASELINE: models["baseline"], reference(1): models["retrained"]}


def by_name(outcomes):
    return {(o.metric, o.group): o for o in outcomes}


@pytest.mark.parametrize("metric", CHANGES)
def test_accuracies_agree_with_scikit_learn_and_statsmodels(models, metric):
    checked, outputs = models["unlearned"]
    found, p = by_name(measure_durability(models["unlearned"], models["baseline"])), checked.predictions
    for group in (None, Group(1, 0), Group(0, 1)):
        rows = p.mask("forget") & (checked.rows((group,)) if group else True)
        value = found[metric, group]
        after = outputs.changed[CHANGES[metric]].prediction[rows]
        assert value.estimate == pytest.approx(accuracy_score(p.target[rows], after))
        limits = proportion_confint((after == p.target[rows]).sum(), rows.sum(), method="wilson")
        assert value.statistic.interval(0.95) == pytest.approx(limits)
        assert value.basis.details["start"] == pytest.approx(accuracy_score(p.target[rows], p.prediction[rows]))
        assert value.basis.details["rise"] == pytest.approx(value.estimate - value.basis.details["start"])


def test_the_curve_starts_with_the_model_as_it_is_and_ends_with_the_value(models):
    checked, outputs = models["unlearned"]
    found = by_name(measure_durability(models["unlearned"], None))["RETURN_ACC", None]
    curve, forget = found.basis.details["curve"], checked.predictions.mask("forget")
    assert epochs_of(outputs) == 5 == len(curve) - 1
    assert curve[0][0] == pytest.approx(checked.correct[forget].mean())
    assert curve[-1] == pytest.approx([found.estimate, *found.statistic.interval(0.95)])
    assert all(low < value < high for value, low, high in curve)


def test_rows_are_found_by_name_whatever_their_order(models):
    checked, outputs = models["unlearned"]
    turn = np.random.default_rng(0).permutation(len(outputs.ids))
    moved = {name: replace(a, prediction=a.prediction[turn], margin=a.margin[turn]) for name, a in outputs.changed.items()}
    turned = replace(outputs, ids=outputs.ids[turn], changed=moved, features=None, adversarial_predictions={})
    one, other = (by_name(measure_durability((checked, o), models["baseline"])) for o in (outputs, turned))
    assert {key: value.estimate for key, value in one.items()} == {key: value.estimate for key, value in other.items()}


def test_people_are_the_unit_where_they_are_known(models):
    checked, outputs = models["unlearned"]
    person = np.arange(len(checked.predictions)) // 40
    together = check_predictions(replace(checked.predictions, subject=person))
    single, many = (by_name(measure_durability((c, outputs), None))["RETURN_ACC", None] for c in (checked, together))
    assert many.basis.persons == len(np.unique(person[checked.predictions.mask("forget")]))
    width = [np.ptp(found.statistic.interval(0.95)) for found in (single, many)]
    assert width[1] >= width[0]


def test_the_barrier_is_the_worst_rise_of_the_error_over_the_line(models):
    retrained, before = models["retrained"], models["baseline"]
    found = by_name(measure_durability(retrained, before))
    checked, outputs = retrained
    test, p = checked.test, checked.predictions
    ends = [np.mean(m[0].predictions.prediction[test] != p.target[test]) for m in (retrained, before)]
    rises = []
    for share in (0.25, 0.5, 0.75):
        wrong = np.mean(outputs.changed[f"mixed {share:g}"].prediction[test] != p.target[test])
        rises.append(wrong - share * ends[0] - (1 - share) * ends[1])
    assert found["LMC_BARRIER", None].estimate == pytest.approx(max(rises))
    assert found["LMC_BARRIER", None].statistic.interval(0.95)[0] > 0
    assert found["WEIGHT_DISTANCE", None].statistic.interval(0.95) == (0.9, 0.9)
    alone = {metric for metric, _ in by_name(measure_durability(before, None))}
    assert not alone & {"LMC_BARRIER", "WEIGHT_DISTANCE"}


def test_changes_are_paired_and_need_as_many_epochs(models):
    checked = models["unlearned"][0]
    sides = models["unlearned"][1], models["retrained"][1]
    forget, target = checked.predictions.mask("forget"), checked.predictions.target
    found = {o.metric: o for o in durability_changes(checked, sides)}
    assert set(found) == set(CHANGES)
    for metric, change in CHANGES.items():
        right = [(side.changed[change].prediction == target)[forget] for side in sides]
        assert found[metric].estimate == pytest.approx(right[0].mean() - right[1].mean())
        assert found[metric].statistic.only_candidate == int((right[0] & ~right[1]).sum())
    fewer = {name: a for name, a in sides[1].changed.items() if name != "epoch 5"}
    assert "RETURN_ACC" not in {o.metric for o in durability_changes(checked, (sides[0], replace(sides[1], changed=fewer)))}


def test_the_share_after_fine_tuning_is_that_of_the_models_as_they_then_are(models):
    (found,) = measure_return_share(audited(models), [reference(1)])

    def after(kind: str, epoch: int):
        checked, outputs = models[kind]
        logits, rows = np.zeros((len(checked.predictions), 2)), np.arange(len(checked.predictions))
        logits[rows, checked.predictions.target] = outputs.changed[f"epoch {epoch}"].margin
        return check_predictions(replace(checked.predictions, logits=logits))

    for epoch in (0, 5):
        share = measure_share(after("unlearned", epoch), after("baseline", epoch), {reference(1): after("retrained", epoch)})
        shown = found.basis.details["curve"][epoch]
        assert shown == pytest.approx([share.estimate, *share.statistic.limits(0.05)])
    assert found.estimate == pytest.approx(shown[0])
    untouched = measure_share(*(models[kind][0] for kind in ("unlearned", "baseline")), {reference(1): models["retrained"][0]})
    assert found.basis.details["curve"][0][0] == pytest.approx(untouched.estimate, abs=1e-5)
    assert found.estimate < untouched.estimate  # the example's unlearned model takes it up again


def test_a_model_that_did_nothing_still_has_the_share_0(models):
    same = {**audited(models), CANDIDATE: models["baseline"]}
    (found,) = measure_return_share(same, [reference(1)])
    assert found.estimate == 0.0
    held = dict(compare_returned(audited(models), [reference(1)]))
    assert {subject: outcomes[0].estimate for subject, outcomes in held.items()} == {
        CANDIDATE: next(measure_return_share(audited(models), [reference(1)])).estimate, BASELINE: 0.0,
    }  # fmt: skip
    again = {**audited(models), reference(2): models["retrained"]}
    shares = dict(compare_returned(again, [reference(1), reference(2)]))
    assert shares[reference(2)][0].estimate == pytest.approx(1.0)


def test_where_it_is_undefined_it_says_why_and_nothing_where_it_was_not_collected(models):
    checked, outputs = models["unlearned"]
    assert list(measure_durability((checked, WhiteBoxOutputs(outputs.ids)), None)) == []
    assert list(measure_return_share({CANDIDATE: (checked, WhiteBoxOutputs(outputs.ids))}, [])) == []
    why = {FINE_TUNING: Missing(MissingCode.NO_TIME, "no time"), MIXING: Missing(MissingCode.NOT_APPLICABLE, "other shape")}
    kept = {name: a for name, a in outputs.changed.items() if not name.startswith(("epoch", "mixed"))}
    found = by_name(measure_durability((checked, replace(outputs, changed=kept, missing=why)), models["baseline"]))
    assert found["RETURN_ACC", None].reason == "no time"
    assert found["LMC_BARRIER", None].reason == found["WEIGHT_DISTANCE", None].reason == "other shape"
    assert found["RETURN_INT8", None].estimate is not None
    late = {**audited(models), BASELINE: (models["baseline"][0], replace(models["baseline"][1], changed=kept))}
    (share,) = measure_return_share(late, [reference(1)])
    assert share.reason == "not every model was fine-tuned for as many epochs"
    (alone,) = measure_return_share({CANDIDATE: models["unlearned"]}, [])
    assert alone.reason == "needs the model before unlearning"
    p = checked.predictions
    nobody = check_predictions(replace(p, split=np.where(p.split == 1, 0, p.split)))
    assert {o.reason for o in measure_durability((nobody, outputs), None) if o.metric in CHANGES} == {"no forget sample (n = 0)"}


def test_changes_of_the_weights_that_were_not_collected_are_left_out(models):
    checked, outputs = models["unlearned"]
    int8 = replace(outputs, changed={"int8": outputs.changed["int8"]}, distance=None)
    found = by_name(measure_durability((checked, int8), models["baseline"]))
    assert {metric for metric, _ in found} == {"RETURN_INT8"}
    both = by_name(measure_durability(models["unlearned"], models["baseline"]))
    assert found["RETURN_INT8", None].estimate == both["RETURN_INT8", None].estimate
    changed = {o.metric: o.estimate for o in durability_changes(checked, (int8, models["retrained"][1]))}
    whole = {o.metric: o.estimate for o in durability_changes(checked, (outputs, models["retrained"][1]))}
    assert changed == {"RETURN_INT8": whole["RETURN_INT8"]}


def test_without_the_version_before_the_share_that_came_back_says_so_of_the_candidate_alone(models):
    held = dict(compare_returned({CANDIDATE: models["unlearned"], reference(1): models["retrained"]}, [reference(1)]))
    assert {subject: [o.reason for o in outcomes] for subject, outcomes in held.items()} == {
        CANDIDATE: ["needs the model before unlearning"]
    }
