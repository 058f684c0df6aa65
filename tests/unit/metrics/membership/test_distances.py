"""Distances between unlearned and reference models: epsilon, forgetting score, KLOM, and what they read of equal models."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from grmu_audit.intervals.closed_forms import clopper_pearson
from grmu_audit.metrics.membership.distances import (
    Sides,
    forgetting_epsilons,
    forgetting_score,
    klom,
    lower_bounds,
    null_of,
)


def sides(unlearned: np.ndarray, reference: np.ndarray) -> Sides:
    """One sample."""
    first = np.arange(len(unlearned) + len(reference)) < len(unlearned)
    return Sides(np.concatenate([unlearned, reference])[:, None], first[:, None], ~first[:, None])


def rules_one_by_one(unlearned: np.ndarray, reference: np.ndarray) -> list[tuple[float, float, bool]]:
    """Half-lines at every midpoint, and intervals around both medians."""
    values = np.unique(np.concatenate([unlearned, reference]))
    cuts = [(a + b) / 2 for a, b in pairwise(values)]
    rules = [(cut, math.inf, True) for cut in cuts] + [(-math.inf, cut, True) for cut in cuts]
    for side, says in ((unlearned, True), (reference, False)):
        middle = float(np.median(side))
        rules += [(middle - (a + b) / 2, middle + (a + b) / 2, says) for a, b in pairwise(np.unique(np.abs(values - middle)))]
    return rules


def errors(rule: tuple[float, float, bool], unlearned: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    low, high, says = rule
    inside = [float(((x > low) & (x < high)).mean()) for x in (unlearned, reference)]
    return (inside[1], 1 - inside[0]) if says else (1 - inside[1], inside[0])


def epsilon_of(fpr: float, fnr: float, delta: float = 1e-5) -> float:
    if fpr == 0 and fnr == 0:
        return 50.0
    if fpr == 0 or fnr == 0:
        return 0.0
    both = [math.log(1 - delta - a) - math.log(b) for a, b in ((fpr, fnr), (fnr, fpr)) if 1 - delta - a > 0]
    return min(max([0.0, *both]), 50.0)


def test_all_samples_at_once_equal_one_rule_after_the_other() -> None:
    """Independent loops over the definition, on samples whose models lie on either side, with ties."""
    rng = np.random.default_rng(3)
    margin = (rng.normal(0, 8, (14, 60)).round()) / 4  # exact in binary, so that ties are ties in both
    unlearned = rng.random((14, 60)) < 0.5
    reference = ~unlearned & (rng.random((14, 60)) < 0.9)
    margin += 2.0 * unlearned
    table = Sides(margin, unlearned, reference).known()
    found, lower, divergence = forgetting_epsilons(table), lower_bounds(table), klom(table)
    for column in range(table.margin.shape[1]):
        pair = [table.margin[side[:, column], column] for side in (table.unlearned, table.reference)]
        rules = rules_one_by_one(*pair)
        assert found[column] == pytest.approx(max((epsilon_of(*errors(rule, *pair)) for rule in rules), default=0.0))
        seen, held = [x[::2] for x in pair], [x[1::2] for x in pair]
        own = rules_one_by_one(*seen)
        least = min((sum(errors(rule, *seen)) for rule in own), default=2.0)
        allowed = {0.0}
        for rule in own:
            if sum(errors(rule, *seen)) == pytest.approx(least):
                rates = errors(rule, *held)
                upper = [clopper_pearson(round(r * len(x)), len(x), 0.95)[1] for r, x in zip(rates, held[::-1], strict=True)]
                allowed.add(epsilon_of(*upper))
        assert min(abs(lower[column] - value) for value in allowed) < 1e-9
        edges = np.linspace(min(x.min() for x in pair), max(x.max() for x in pair), 21)
        p, q = (np.histogram(x, edges)[0] / len(x) + 1e-5 for x in pair)
        assert divergence[column] == pytest.approx(stats.entropy(p, q), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=4, max_size=12), st.floats(-5, 5), st.floats(0.5, 3))
def test_distances_do_not_depend_on_the_order_of_models(values: list[float], shift: float, scale: float) -> None:
    half = len(values) // 2
    one = sides(np.array(values[:half]), np.array(values[half:]))
    turned = sides(np.array(values[:half][::-1]), np.array(values[half:][::-1]))
    assert forgetting_epsilons(one) == pytest.approx(forgetting_epsilons(turned))
    assert klom(one) == pytest.approx(klom(turned))


def equal_pools(seed: int, models: int = 16, samples: int = 40) -> Sides:
    """Unlearned and reference models of one distribution; a model's samples are correlated, as a network's are."""
    rng = np.random.default_rng(seed)
    first = rng.permuted(np.repeat([True, False], models // 2)[:, None].repeat(samples, 1), axis=0)
    margin = rng.normal(0, 3, samples) + rng.normal(0, 1, (models, samples)) + rng.normal(0, 0.5, (models, 1))
    return Sides(margin, first, ~first)


def test_permuted_models_read_what_equal_models_read() -> None:
    """The mean of the null is that of the statistic over fresh pools of the same distribution."""

    def mean(table: Sides) -> float:
        return float(forgetting_epsilons(table).mean())

    fresh = np.array([mean(equal_pools(seed)) for seed in range(60)])
    nulls = [null_of(mean, equal_pools(seed), np.random.default_rng(0), 50) for seed in range(5)]
    assert np.mean([null.mean for null in nulls]) == pytest.approx(fresh.mean(), abs=3 * fresh.std() / 60**0.5)
    assert fresh.mean() > 0.5, "equal models are far apart by the plug-in value"


def test_epsilon_knows_its_ends_and_the_lower_bound_needs_models() -> None:
    rng = np.random.default_rng(5)
    apart = sides(rng.normal(0, 1, 512), rng.normal(100, 1, 512))
    assert forgetting_epsilons(apart).tolist() == [50.0]
    assert 3 < lower_bounds(apart)[0] < 6  # Clopper-Pearson at 0 of 256
    same = sides(rng.normal(0, 1, 512), rng.normal(0, 1, 512))
    assert forgetting_epsilons(same)[0] < 3
    assert lower_bounds(same).tolist() == [0.0]
    assert lower_bounds(sides(rng.normal(0, 1, 8), rng.normal(9, 1, 8))).tolist() == [0.0]


def test_epsilon_of_a_known_pair_of_error_rates() -> None:
    """One overlapping value on each side: the best rule errs once in four on both, so epsilon = log((1 - delta - 1/4) 4)."""
    unlearned, retrained = np.array([0.0, 1.0, 2.0, 10.0]), np.array([3.0, 11.0, 12.0, 13.0])
    assert forgetting_epsilons(sides(unlearned, retrained), delta=0.0)[0] >= np.log((1 - 0.25) / 0.25) - 1e-9


def test_epsilon_sees_a_side_that_is_narrower_whichever_it_is() -> None:
    """The narrow side lies in the middle of the wide one: one threshold finds little, the interval errs on 1 of 10 alone."""
    narrow = np.array([-0.2, -0.1, -0.05, 0.0, 0.0, 0.05, 0.1, 0.15, 0.2, 8.0])
    wide = np.array([-9.0, -7.0, -6.0, -5.0, 0.01, 5.0, 6.0, 7.0, 9.0, 10.0])
    expected = np.log((1 - 1e-5 - 0.1) / 0.1)
    assert forgetting_epsilons(sides(narrow, wide))[0] == pytest.approx(expected)
    assert forgetting_epsilons(sides(wide, narrow))[0] == pytest.approx(expected)


def test_the_lower_bound_is_below_the_truth_in_nineteen_of_twenty() -> None:
    """Two normal laws half a unit apart: the largest true epsilon of a half-line is known, the bound must rarely pass it."""
    rng = np.random.default_rng(6)
    cuts = np.linspace(-4, 4, 400)
    fpr, fnr = stats.norm.sf(cuts, 0), stats.norm.cdf(cuts, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        truth = np.nanmax(np.maximum(np.log((1 - fpr) / fnr), np.log((1 - fnr) / fpr)))
    above = sum(lower_bounds(sides(rng.normal(0.5, 1, 40), rng.normal(0, 1, 40)))[0] > truth for _ in range(60))
    assert above <= 6


def test_forgetting_quality_halves_every_bin() -> None:
    assert forgetting_score(np.array([0.1, 0.5, 1.0, 49.0]), 512) == pytest.approx((1 + 0.5 + 0.25 + 0) / 4)


def test_klom_equals_scipys_entropy_of_the_histograms_and_counts_the_top_edge() -> None:
    rng = np.random.default_rng(7)
    u, r = rng.normal(1, 1, 100), rng.normal(0, 1, 100)
    edges = np.linspace(min(u.min(), r.min()), max(u.max(), r.max()), 21)
    p, q = (np.histogram(x, edges)[0] / 100 + 1e-5 for x in (u, r))
    assert klom(sides(u, r))[0] == pytest.approx(stats.entropy(p, q))
    assert klom(sides(np.ones(5), np.ones(5))).tolist() == [0.0]


@pytest.mark.parametrize("models", [0, 1])
def test_without_two_models_no_rule_tells_the_sides_apart(models):
    there = np.ones((models, 3), dtype=bool)
    table = Sides(np.zeros((models, 3)), there, ~there)
    assert forgetting_epsilons(table).tolist() == [0.0, 0.0, 0.0]
    assert lower_bounds(table).tolist() == [0.0, 0.0, 0.0]
