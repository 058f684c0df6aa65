"""Intervals against statsmodels, as published, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from grmu_audit.intervals import Difference, Gap, Proportion
from grmu_audit.intervals.closed_forms import clopper_pearson, exact, paired_difference, wilson, z_value

COUNTS = [(0, 1), (1, 1), (3, 3), (0, 40), (7, 40), (40, 40), (999, 1000)]


@pytest.mark.parametrize(("k", "n"), COUNTS)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_wilson_and_clopper_pearson_agree_with_statsmodels(k, n, confidence):
    assert Proportion(k, n).interval(confidence) == pytest.approx(proportion_confint(k, n, 1 - confidence, "wilson"), abs=1e-9)
    assert clopper_pearson(k, n, confidence) == pytest.approx(proportion_confint(k, n, 1 - confidence, "beta"), abs=1e-9)


def test_a_design_effect_counts_as_fewer_samples():
    assert Proportion(20, 80, 4.0).interval(0.95) == pytest.approx(proportion_confint(5, 20, 0.05, "wilson"), abs=1e-12)


@pytest.mark.parametrize(("a", "b"), [((3, 10), (7, 12)), ((0, 20), (20, 20)), ((50, 100), (50, 100)), ((1, 2), (999, 1000))])
def test_difference_agrees_with_statsmodels_newcombe(a, b):
    made = Difference(Proportion(*a), Proportion(*b)).interval(0.95)
    assert made == pytest.approx(confint_proportions_2indep(*a, *b, method="newcomb", compare="diff"), abs=1e-9)


def test_a_gap_of_two_cells_is_the_folded_newcombe_interval():
    low, high = confint_proportions_2indep(30, 40, 10, 40, method="newcomb", compare="diff")
    gap = Gap(((Proportion(10, 40), Proportion(30, 40)),), "max")
    assert gap.interval(0.95)[1] == pytest.approx(high, abs=1e-9)
    low, _ = confint_proportions_2indep(30, 40, 10, 40, method="newcomb", compare="diff", alpha=0.04)
    assert gap.interval(0.95)[0] == pytest.approx(low, abs=1e-9)
    equal = Gap(((Proportion(20, 40), Proportion(20, 40)),), "max")
    assert equal.interval(0.95)[0] == 0.0


def test_bonett_price_as_published_at_95_per_cent():
    # Bonett and Price (2012): add one to each discordant count, two to the total.
    gained, lost, n = 10, 2, 100
    p, q, m = (gained + 1) / (n + 2), (lost + 1) / (n + 2), n + 2
    half = z_value(0.05) * math.sqrt((p + q - (p - q) ** 2) / m)
    assert paired_difference(gained, lost, n, 0.05) == pytest.approx((p - q - half, p - q + half), abs=1e-12)


@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_paired_interval_covers_by_simulation(alpha):
    rng = np.random.default_rng(3)
    for n, gained, lost in ((60, 0.08, 0.02), (200, 0.03, 0.03), (500, 0.02, 0.0)):
        draws = rng.multinomial(n, [gained, lost, 1 - gained - lost], size=4000)
        hits = 0
        for g, b, _ in draws:
            low, high = paired_difference(g, b, n, alpha)
            hits += low <= gained - lost <= high
        assert hits / len(draws) >= 1 - alpha - 0.012


def test_gap_covers_simultaneously_by_simulation():
    rng = np.random.default_rng(5)
    for truth in ([0.8, 0.8], [0.9, 0.7, 0.8], [0.95, 0.6, 0.6, 0.9]):
        n = 60
        hits = 0
        for _ in range(500):
            cells = tuple(Proportion(int(rng.binomial(n, p)), n) for p in truth)
            low, high = Gap((cells,), "max").interval(0.95)
            hits += low <= max(truth) - min(truth) <= high
        assert hits >= 0.93 * 500


@pytest.mark.parametrize("rule", [wilson, exact])
def test_limits_of_no_cells_are_empty(rule):
    none = np.array([], dtype=np.float64)
    assert [side.shape for side in rule(none, none, 0.05)] == [(0,), (0,)]
