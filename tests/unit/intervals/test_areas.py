"""Limits of areas near 1 and from few samples, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from grmu_audit.intervals import Area, AreaChange
from grmu_audit.metrics.scores import roc


@pytest.mark.parametrize(("area", "n1"), [(0.95, 5), (0.95, 20), (0.95, 40), (0.7, 5), (0.99, 10), (0.5, 10)])
@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_areas_near_1_and_of_few_forget_samples_are_covered(area, n1, spread):
    rng, away, hits, before = np.random.default_rng(7), norm.ppf(area) * math.hypot(spread, 1), 0, 0
    for _ in range(400):
        curve = roc(rng.normal(away, spread, n1), rng.normal(0, 1, 200), np.ones(200))
        low, high = curve.effective_area(None, None).interval(0.95)
        hits += low <= area <= high
        low, high = curve.area(None).interval(0.95)
        before += low <= area <= high
    assert hits >= 0.92 * 400  # 95 % at least; the simulation errs by 1.1 points
    if (area, spread) == (0.95, 1.0) and n1 <= 20:
        assert before < 0.91 * 400


def test_the_area_and_its_error_agree_with_scikit_learn_and_the_bootstrap():
    rng = np.random.default_rng(8)
    positive, negative = rng.normal(1, 1, 60), rng.normal(0, 1, 80)
    found = roc(positive, negative, np.ones(80)).effective_area(None, None)
    label = np.repeat([1, 0], [60, 80])
    assert found.value == pytest.approx(roc_auc_score(label, np.concatenate([positive, negative])))
    drawn = [roc(rng.choice(positive, 60), rng.choice(negative, 80), np.ones(80)).value for _ in range(2000)]
    assert found.se == pytest.approx(np.std(drawn), rel=0.1)


@pytest.mark.parametrize("people", [1, 2, 4, 10])
def test_few_forgotten_people_are_covered(people):
    """About these people where there is one, about people like them where there are more."""
    rng, hits, before, each = np.random.default_rng(people), 0, 0, 8
    owner, unseen = np.repeat(np.arange(people), each), 1000 + np.repeat(np.arange(60), 5)
    for _ in range(400):
        own = rng.normal(0, 1, people)
        positive = 1.0 + own[owner] + rng.normal(0, 1, people * each)
        negative = rng.normal(0, 1, 60)[(unseen - 1000)] + rng.normal(0, 1, 300)
        centre = own[0] if people == 1 else 0.0
        spread = math.sqrt(3 if people == 1 else 4)
        truth = norm.cdf((1.0 + centre) / spread)
        curve = roc(positive, negative, np.ones(300))
        low, high = curve.effective_area(None if people == 1 else owner, unseen).interval(0.95)
        hits += low <= truth <= high
        low, high = curve.area(np.concatenate([owner, unseen])).interval(0.95)
        before += low <= truth <= high
    assert hits >= 0.915 * 400
    if people == 1:
        assert before < 0.6 * 400


def test_the_change_of_an_area_from_few_samples_near_1_is_covered():
    rng, hits = np.random.default_rng(9), 0
    truth = norm.cdf(2.0 / math.sqrt(2)) - norm.cdf(1.2 / math.sqrt(2))
    for _ in range(400):
        z1, z0 = rng.normal(0, 1, (2, 10)), rng.normal(0, 1, (2, 200))
        one = roc(2.0 + z1[0], z0[0], np.ones(200))
        two = roc(1.2 + 0.8 * z1[0] + 0.6 * z1[1], 0.8 * z0[0] + 0.6 * z0[1], np.ones(200))
        moved = type(one)(one.value - two.value, one.positive - two.positive, one.negative - two.negative)
        made = moved.effective_area(None, None)
        sides = one.effective_area(None, None), two.effective_area(None, None)
        low, high = AreaChange(*sides, made.se, method="effective", degrees=made.degrees).interval(0.95)
        hits += low <= truth <= high
    assert hits >= 0.92 * 400


def test_a_perfect_area_of_a_few_samples_says_little():
    low, high = Area(1.0, 0.0, 5, 100, method="effective", degrees=4.0).interval(0.95)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 17.5)), 1.0)
