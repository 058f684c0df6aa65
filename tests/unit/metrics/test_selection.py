"""Impact ratio, predictive parity and calibration against fairlearn and against plain sums; limits against simulation."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, demographic_parity_ratio
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_score

from grmu_audit.intervals import Gap, Proportion, RateRatio, Replicated, Spread, Statistic
from grmu_audit.metrics import check_predictions, compare, measure_predictions
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.metrics.selection import SELECTION, measure_selection
from grmu_audit.policy import load_named
from grmu_audit.policy.judgement import evaluate
from grmu_audit.records import Audit, DataRecord, Decision, ForgetRecord, Group, MeasureOptions, ModelRef, Predictions


def named(p, **options):  # type: ignore[no-untyped-def]
    found = measure_selection(check_predictions(p, MeasureOptions(**options)))
    return {outcome.metric: outcome for outcome in found}


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("kind", ["unlearned", "baseline", "retrained"])
def test_numbers_equal_fairlearns(kind: str, positive: int) -> None:
    p = example(kind)
    rows = p.mask("test")
    y, yhat, s = (column[rows] for column in ((p.target == positive), (p.prediction == positive), p.attribute))
    found = named(p, positive_class=positive)
    assert found["IMPACT_RATIO"].estimate == pytest.approx(demographic_parity_ratio(y, yhat, sensitive_features=s), abs=1e-12)
    frame = MetricFrame(metrics=precision_score, y_true=y, y_pred=yhat, sensitive_features=s)
    assert found["PREDICTIVE_PARITY"].estimate == pytest.approx(frame.difference(), abs=1e-12)
    odds = np.exp(p.logits - p.logits.max(1, keepdims=True))  # type: ignore[operator, union-attr]
    excess = (odds / odds.sum(1, keepdims=True))[rows, positive] - y
    means = [excess[s == value].mean() for value in (0, 1)]
    assert found["CALIBRATION_GAP"].estimate == pytest.approx(abs(means[0] - means[1]), abs=1e-12)
    each = found["CALIBRATION_GAP"].basis.details["by_attribute_value"]
    assert [each[code]["value"] for code in ("0", "1")] == pytest.approx(means)


def test_undefined_values_say_why() -> None:
    p = example()
    assert "more than" not in named(p)["IMPACT_RATIO"].reason
    one = replace(p, attribute=np.zeros_like(p.attribute))
    assert {o.reason for o in named(one).values()} == {
        "fewer than two attribute values have test samples",
        "fewer than two attribute values have selected test samples",
    }
    nobody = replace(p, prediction=np.zeros_like(p.prediction))
    assert named(nobody)["IMPACT_RATIO"].reason.startswith("no test sample is selected (n = ")
    assert "scores" in named(replace(p, logits=None))["CALIBRATION_GAP"].reason
    three = named(replace(p, classes=3, logits=None))
    assert {three[name].reason for name in SELECTION} == {"it is for two classes, and there are 3"}


def with_a_third_value(splits: tuple[int, ...], selected: bool = True) -> Predictions:
    """The example, selected at 50 % in every value, with a few rows of attribute value 2 in some splits only."""
    p = example()
    third = np.isin(p.split, splits) & (np.arange(len(p)) % 50 == 0)
    attribute, prediction = np.where(third, 2, p.attribute), np.zeros(len(p), dtype=np.int64)
    for value in (0, 1, 2 if selected else 0):
        prediction[np.flatnonzero(attribute == value)[::2]] = 1
    return replace(p, attribute=attribute, attributes=3, prediction=prediction, attribute_names=(), factors=())


def judged(p: Predictions) -> dict[str, tuple[Decision, str]]:
    audit = Audit(ModelRef("m", "1"), DataRecord("d", {}), ForgetRecord(99, "h", ()), tuple(measure_predictions(p)))
    found = evaluate(audit, load_named("nyc-ll144"), today=date(2026, 1, 1)).rules
    return {outcome.id: (outcome.decision, outcome.reason) for outcome in found}


def test_no_rule_passes_where_a_declared_value_has_no_test_row() -> None:
    p, third = with_a_third_value((0,)), (Group(0, 2), Group(1, 2))
    found = named(p)
    assert found["IMPACT_RATIO"].estimate == pytest.approx(1, abs=0.02)
    assert {found[name].basis.empty_cells for name in SELECTION} == {third}
    assert all(set(found[name].basis.details["by_attribute_value"]) == {"0", "1"} for name in SELECTION)
    decision, reason = judged(p)["four-fifths"]
    assert decision is Decision.INCONCLUSIVE
    assert "IMPACT_RATIO is incomplete: no test sample of groups (target 0, attribute 2), (target 1, attribute 2)" in reason
    assert judged(with_a_third_value((0, 3)))["four-fifths"][0] is not Decision.PASS  # 60 rows of it do not suffice
    assert judged(example())["four-fifths"][0] is not Decision.INCONCLUSIVE


def test_parity_is_incomplete_where_nobody_of_a_value_is_selected() -> None:
    p = with_a_third_value((0, 3), selected=False)
    found = named(p)
    assert [len(found[name].basis.empty_cells) for name in SELECTION] == [0, 2, 0]
    assert found["IMPACT_RATIO"].estimate == 0
    assert found["PREDICTIVE_PARITY"].estimate is not None
    other = replace(p, prediction=with_a_third_value((0, 3)).prediction)
    for one, two in ((p, other), (other, p)):  # a change covers what both sides cover, and rests on the smaller cell
        change = next(o for o in compare(check_predictions(one), two) if o.metric == "PREDICTIVE_PARITY")
        assert change.basis.empty_cells == found["PREDICTIVE_PARITY"].basis.empty_cells
        assert change.smallest == min(named(p)["PREDICTIVE_PARITY"].smallest, named(other)["PREDICTIVE_PARITY"].smallest)
    decision, reason = judged(p)["predictive-parity"]
    assert decision is Decision.INCONCLUSIVE
    assert "incomplete: no selected test sample of groups" in reason


def test_values_and_changes_reach_the_audit() -> None:
    found = {v.name: v for v in measure_predictions(example()) if v.group is None}
    for name in SELECTION:
        assert found[name].interval is not None
        low, high = found[name].interval
        assert low <= found[name].value <= high
        assert Statistic.from_json(found[name].statistic.to_json()) == found[name].statistic


def draws(rng: np.random.Generator, shares: tuple[float, ...], n: int) -> RateRatio:
    return RateRatio(tuple(Proportion(int(rng.binomial(n, share)), n) for share in shares))


@pytest.mark.parametrize(
    ("shares", "n"), [((0.5, 0.5), 60), ((0.3, 0.4), 80), ((0.2, 0.5), 200), ((0.5, 0.5, 0.5), 60), ((0.05, 0.1), 150)]
)
def test_limits_of_the_ratio_hold_the_truth(shares: tuple[float, ...], n: int) -> None:
    """In 1,000 draws; 94 % allows three standard errors of the count."""
    rng, truth, held, known = np.random.default_rng(7), min(shares) / max(shares), 0, 0
    for _ in range(1000):
        limits = draws(rng, shares, n).limits(0.05)
        if limits is not None:
            known += 1
            held += limits[0] - 1e-12 <= truth <= limits[1] + 1e-12
    assert known > 990
    assert held / known > 0.93


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=2, max_size=6), st.floats(0.001, 0.3))
def test_limits_of_the_ratio_hold_the_estimate_and_stay_in_range(counts: list[tuple[int, int]], alpha: float) -> None:
    found = RateRatio(tuple(Proportion(min(k, n), n) for k, n in counts))
    limits = found.limits(alpha)
    if not any(k for k, _ in counts):
        assert limits is None
        return
    assert limits is not None
    assert 0 <= limits[0] <= found.estimate + 1e-9
    assert found.estimate - 1e-9 <= limits[1] <= 1
    assert Statistic.from_json(found.to_json()) == found


def test_more_confidence_gives_wider_limits_and_more_samples_narrower_ones() -> None:
    found = RateRatio((Proportion(30, 100), Proportion(60, 100)))
    near, far = found.limits(0.1), found.limits(0.01)
    assert near is not None
    assert far is not None
    assert far[0] < near[0] < 0.5 < near[1] < far[1]
    more = found.scaled(100).limits(0.05)
    assert more is not None
    assert more[1] - more[0] < 0.1


def test_the_spread_of_two_means_is_their_difference() -> None:
    one, other = Replicated(0.3, 0.02, 99), Replicated(0.1, 0.03, 99)
    found = Spread((one, other))
    assert found.estimate == pytest.approx(0.2)
    limits = found.limits(0.05)
    assert limits is not None
    assert limits[1] == pytest.approx(0.2 + 1.98422 * np.hypot(0.02, 0.03), abs=1e-4)
    assert Spread((Replicated(0.3, None, 1), other)).limits(0.05) is None
    assert isinstance(Gap((), "max"), Statistic)


def test_people_with_many_samples_widen_the_limits() -> None:
    p = example()
    order = np.lexsort((p.target, p.attribute, p.split))  # samples of a person are alike
    person = np.empty(len(p), dtype=np.int64)
    person[order] = np.arange(len(p)) // 8
    people = replace(p, subject=person)
    for name in SELECTION:
        wide, narrow = (named(q)[name].statistic.limits(0.05) for q in (people, p))
        assert wide[1] - wide[0] > narrow[1] - narrow[0]
    assert named(people)["CALIBRATION_GAP"].basis.persons == len(np.unique(person[p.mask("test")]))
