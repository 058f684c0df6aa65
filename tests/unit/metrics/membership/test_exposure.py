"""Attacks at low false-positive rates, on retained people and by group, against scikit-learn and by simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve
from statsmodels.stats.proportion import proportion_confint

from grmu_audit.intervals import Proportion, RateAtThreshold
from grmu_audit.intervals.operating_points import LEVELS
from grmu_audit.metrics import check_predictions, measure_predictions
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.metrics.membership.disparity import permutation_test
from grmu_audit.metrics.membership.exposure import measure_exposure
from grmu_audit.metrics.scores import operating_threshold, threshold_shares
from grmu_audit.records import Group, MeasureOptions


@pytest.fixture(scope="module")
def values():
    return {(v.name, v.group): v for v in measure_predictions(example())}


def _weights(p, split):
    rows, test = p.mask(split), p.mask("test")
    weight = np.where(rows, 1.0, 0.0)
    for g in np.unique(p.group[rows]):
        mine = test & (p.group == g)
        weight[mine] = (rows & (p.group == g)).sum() / mine.sum()
    used = rows | (test & (weight > 0))
    return rows[used], used, weight[used]


@pytest.mark.parametrize(("name", "rate"), [("MIA_TPR_1", 0.01), ("MIA_TPR_01", 0.001)])
def test_rate_at_low_false_alarms_agrees_with_scikit_learns_curve(values, name, rate):
    p = example()
    label, used, weight = _weights(p, "forget")
    score = check_predictions(p).scores["margin"][used]
    fpr, tpr, _ = roc_curve(label, score, sample_weight=weight, drop_intermediate=False)
    found = values[name, None]
    assert found.value == pytest.approx(tpr[fpr <= rate + 1e-12].max(), abs=1e-12)
    k = round(found.value * label.sum())
    known = proportion_confint(k, label.sum(), 0.05, "beta")  # as if the threshold were known
    assert found.interval[0] < known[0] or known[0] == 0
    assert found.interval[1] >= known[1] - 1e-12
    assert found.statistic.called.interval(0.95) == pytest.approx(known, abs=1e-9)
    assert found.details["reached_fpr"] <= rate


@pytest.mark.parametrize(("n1", "n0"), [(40, 300), (200, 1000)])
def test_the_interval_of_a_rate_at_a_threshold_holds_although_the_threshold_is_estimated(n1, n0):
    rng, truth, hits, known = np.random.default_rng(5), norm.sf(norm.isf(0.01) - 2), 0, 0
    for _ in range(300):
        positive, negative = rng.normal(2, 1, n1), rng.normal(0, 1, n0)
        threshold, _ = operating_threshold(negative, np.ones(n0), 0.01)
        shares = threshold_shares(positive, negative, np.ones(n0), 0.01, n0)
        found = RateAtThreshold(Proportion.of(positive > threshold).exact(), LEVELS, *shares)
        hits += found.interval(0.95)[0] <= truth <= found.interval(0.95)[1]
        known += found.called.interval(0.95)[0] <= truth <= found.called.interval(0.95)[1]
    assert hits >= 0.935 * 300
    assert known < 0.91 * 300


def test_retain_area_agrees_with_scikit_learn(values):
    p = example()
    label, used, weight = _weights(p, "retain")
    wanted = roc_auc_score(label, check_predictions(p).scores["margin"][used], sample_weight=weight)
    assert values["RETAIN_AUC", None].value == pytest.approx(wanted, abs=1e-9)
    assert values["RETAIN_AUC", None].interval[0] > 0.5


def test_group_values_agree_with_scikit_learn_and_small_groups_are_suppressed(values):
    p = example()
    f = check_predictions(p)
    for group in (Group(1, 0), Group(0, 1)):
        rows = (p.target == group.target) & (p.attribute == group.attribute)
        used = rows & (p.mask("forget") | p.mask("test"))
        wanted = roc_auc_score(p.mask("forget")[used], f.scores["margin"][used])
        assert values["MIA_AUC", group].value == pytest.approx(wanted, abs=1e-9)
        assert values["UA", group].value == pytest.approx(p.correct[rows & p.mask("forget")].mean())
    few = p.split.copy()
    few[np.flatnonzero(p.mask("forget") & (p.target == 0))[4:]] = 0
    small = {(v.name, v.group): v for v in measure_predictions(replace(p, split=few))}
    for name in ("MIA_AUC", "MIA_TPR_1", "UA"):
        assert small[name, Group(0, 1)].value is None
        assert "fewer than 5 forget samples" in small[name, Group(0, 1)].why_missing
    assert small["MIA_DISPARITY", None].value is None


def test_too_few_unseen_samples_leave_the_rate_undefined():
    p = example()
    split = p.split.copy()
    split[np.flatnonzero(p.mask("test") & (p.target == 1) & (p.attribute == 0))[150:]] = 2
    split[np.flatnonzero(p.mask("forget") & (p.target == 0))] = 0
    found = {v.name: v for v in measure_predictions(replace(p, split=split)) if v.group is None}
    assert found["MIA_TPR_1"].value is not None
    assert found["MIA_TPR_01"].value is None
    assert "150 effective unseen samples cannot resolve" in found["MIA_TPR_01"].why_missing


def test_threshold_calls_ties_together():
    assert operating_threshold(np.array([1.0, 1.0, 1.0, 0.0]), np.ones(4), 0.5) == (1.0, 0.0)
    assert operating_threshold(np.array([3.0, 2.0, 1.0, 0.0]), np.ones(4), 0.5) == (1.0, 0.5)
    assert operating_threshold(np.array([1.0, 1.0]), np.ones(2), 1.0) == (-np.inf, 1.0)


def _simulated(rng, advantages, sizes=(30, 120)):
    member, unseen, labels = [], [], [[], []]
    for group, gain in enumerate(advantages):
        ease, spread = 2.0 * group, 1.0 + group  # groups differ in how easy they are, which is no disparity of leakage
        member.append(ease + spread * rng.normal(gain, 1, sizes[0]))
        unseen.append(ease + spread * rng.normal(0, 1, sizes[1]))
        for side in (0, 1):
            labels[side].append(np.full(sizes[side], group))
    return tuple((np.concatenate(s), np.concatenate(g)) for s, g in zip((member, unseen), labels, strict=True))


def test_permutation_test_keeps_its_level_and_finds_a_planted_disparity():
    rng = np.random.default_rng(0)
    level = np.mean([permutation_test(*_simulated(rng, (0.5, 0.5, 0.5)), seed=i, permutations=99)[0] <= 0.05 for i in range(150)])
    power = np.mean([permutation_test(*_simulated(rng, (1.6, 0.0, 0.0)), seed=i, permutations=99)[0] <= 0.05 for i in range(40)])
    assert level <= 0.11
    assert power >= 0.9


def test_naive_disparity_of_small_groups_is_biased_and_the_expected_value_says_so():
    rng = np.random.default_rng(1)
    small = permutation_test(*_simulated(rng, (0.5,) * 4, (10, 40)), seed=0)
    large = permutation_test(*_simulated(rng, (0.5,) * 4, (400, 1600)), seed=0)
    assert small[1] > 3 * large[1] > 0


def test_limits_of_the_first_form_take_the_threshold_as_known_and_areas_on_the_logit_scale():
    p, options = example(), MeasureOptions(interval_forms=1)
    first, second = (
        {o.metric: o for o in measure_exposure(check_predictions(p, given)) if o.group is None}
        for given in (options, MeasureOptions())
    )
    rate = first["MIA_TPR_1"].statistic
    assert isinstance(rate, Proportion)
    assert rate.estimate == second["MIA_TPR_1"].estimate
    assert rate.interval(0.95) == pytest.approx(proportion_confint(rate.k, p.mask("forget").sum(), 0.05, "beta"), abs=1e-9)
    spans = [found["MIA_DISPARITY"] for found in (first, second)]
    assert [[cell.method for cell in span.statistic.cells] for span in spans] == [["logit"] * 2, ["effective"] * 2]
    assert spans[0].estimate == spans[1].estimate
    for cell, listed in zip(spans[0].statistic.cells, spans[0].basis.details["groups"], strict=True):
        rows = (p.target == listed["group"]["target"]) & (p.attribute == listed["group"]["attribute"])
        rows &= p.mask("forget") | p.mask("test")
        wanted = roc_auc_score(p.mask("forget")[rows], check_predictions(p).scores["margin"][rows])
        assert cell.value == pytest.approx(wanted, abs=1e-9)
