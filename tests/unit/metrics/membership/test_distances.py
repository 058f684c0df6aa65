"""Distances between unlearned and retrained models: epsilon, forgetting score, KLoM."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from grmu_audit.metrics.membership.distances import forgetting_epsilon, forgetting_score, klom


def test_epsilon_knows_its_ends_and_the_lower_bound_needs_models() -> None:
    rng = np.random.default_rng(5)
    apart = forgetting_epsilon(rng.normal(0, 1, 512), rng.normal(100, 1, 512))
    assert apart.plug_in == 50.0
    assert 3 < apart.lower < 6  # Clopper-Pearson at 0 of 256
    same = forgetting_epsilon(rng.normal(0, 1, 512), rng.normal(0, 1, 512))
    assert same.plug_in < 3
    assert same.lower == 0.0
    assert forgetting_epsilon(rng.normal(0, 1, 8), rng.normal(9, 1, 8)).lower == 0.0


def test_epsilon_of_a_known_pair_of_error_rates() -> None:
    """One overlapping value on each side: the best rule errs once in four on both, so epsilon = log((1 - delta - 1/4) 4)."""
    unlearned, retrained = np.array([0.0, 1.0, 2.0, 10.0]), np.array([3.0, 11.0, 12.0, 13.0])
    found = forgetting_epsilon(unlearned, retrained, delta=0.0)
    assert found.plug_in >= np.log((1 - 0.25) / 0.25) - 1e-9


def test_epsilon_sees_a_side_that_is_narrower_whichever_it_is() -> None:
    """The narrow side lies in the middle of the wide one: one threshold finds little, the interval errs on 1 of 10 alone."""
    narrow = np.array([-0.2, -0.1, -0.05, 0.0, 0.0, 0.05, 0.1, 0.15, 0.2, 8.0])
    wide = np.array([-9.0, -7.0, -6.0, -5.0, 0.01, 5.0, 6.0, 7.0, 9.0, 10.0])
    expected = np.log((1 - 1e-5 - 0.1) / 0.1)
    assert forgetting_epsilon(narrow, wide).plug_in == pytest.approx(expected)
    assert forgetting_epsilon(wide, narrow).plug_in == pytest.approx(expected)


def test_the_lower_bound_is_below_the_truth_in_nineteen_of_twenty() -> None:
    """Two normal laws half a unit apart: the largest true epsilon of a half-line is known, the bound must rarely pass it."""
    rng = np.random.default_rng(6)
    cuts = np.linspace(-4, 4, 400)
    fpr, fnr = stats.norm.sf(cuts, 0), stats.norm.cdf(cuts, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        truth = np.nanmax(np.maximum(np.log((1 - fpr) / fnr), np.log((1 - fnr) / fpr)))
    above = sum(forgetting_epsilon(rng.normal(0.5, 1, 40), rng.normal(0, 1, 40)).lower > truth for _ in range(60))
    assert above <= 6


def test_forgetting_quality_halves_every_bin() -> None:
    assert forgetting_score(np.array([0.1, 0.5, 1.0, 49.0]), 512) == pytest.approx((1 + 0.5 + 0.25 + 0) / 4)


def test_klom_equals_scipys_entropy_of_the_histograms_and_counts_the_top_edge() -> None:
    rng = np.random.default_rng(7)
    u, r = rng.normal(1, 1, 100), rng.normal(0, 1, 100)
    edges = np.linspace(min(u.min(), r.min()), max(u.max(), r.max()), 21)
    p, q = (np.histogram(x, edges)[0] / 100 + 1e-5 for x in (u, r))
    assert klom(u, r) == pytest.approx(stats.entropy(p, q))
    assert klom(np.ones(5), np.ones(5)) == 0.0
