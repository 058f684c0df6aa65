"""Exact limits of counts: by enumeration of every outcome, and what earlier forms missed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, multinomial

from grmu_audit.intervals import Gap, Minimum, PairedCounts, Proportion


def missed(n, p, alpha, made):
    """Probability that the limits of k of n leave p below and above."""
    k = np.arange(n + 1)
    bounds = np.array([made(int(i), n).limits(alpha) for i in k])
    weight = binom.pmf(k, n, p)
    return weight[bounds[:, 0] > p].sum(), weight[bounds[:, 1] < p].sum()


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 8])
@pytest.mark.parametrize(("n", "p"), [(200, 0.995), (5, 0.03), (10, 0.95), (10, 0.98), (50, 0.5)])
def test_a_rate_near_0_or_1_is_missed_by_each_limit_at_its_share_of_the_error(n, p, alpha):
    below, above = missed(n, p, alpha, lambda k, n: Proportion(k, n).exact())
    assert max(below, above) <= alpha / 2


def test_before_a_rate_near_1_was_missed_far_too_often():
    below, above = missed(200, 0.995, 0.05, Proportion)
    assert below + above > 0.07


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 8])
@pytest.mark.parametrize(("n", "gained", "lost"), [(60, 0.0, 0.03), (200, 0.002, 0.02), (20, 0.1, 0.1), (8, 0.4, 0.4)])
def test_a_paired_change_is_missed_by_each_limit_at_its_share_of_the_error(n, gained, lost, alpha):
    counts = np.array([(g, b, n - g - b) for g in range(n + 1) for b in range(n + 1 - g)])
    weight = multinomial.pmf(counts, n, [gained, lost, 1 - gained - lost])
    counts, weight = counts[weight > 1e-9], weight[weight > 1e-9]
    bounds = np.array([PairedCounts(0, g, b, rest).exact().limits(alpha) for g, b, rest in counts.tolist()])
    assert weight[bounds[:, 0] > gained - lost + 1e-12].sum() <= 1.05 * alpha / 2
    assert weight[bounds[:, 1] < gained - lost - 1e-12].sum() <= 1.05 * alpha / 2


@pytest.mark.parametrize(("cells", "n", "p"), [(8, 10, 0.98), (20, 5, 0.995), (4, 200, 0.5)])
def test_the_worst_of_small_groups_and_their_gap_are_covered(cells, n, p):
    rng, hits, spans, before = np.random.default_rng(3), 0, 0, 0
    for _ in range(500):
        made = tuple(Proportion(int(k), n) for k in rng.binomial(n, p, cells))
        low, high = Minimum(made).exact().interval(0.95)
        hits += low <= p <= high
        spans += Gap((made,), "max").exact().interval(0.95)[0] <= 0
        before += Minimum(made).interval(0.95)[0] <= p <= Minimum(made).interval(0.95)[1]
    assert hits >= 0.935 * 500
    assert spans >= 0.935 * 500
    if cells == 8:
        assert before < 0.92 * 500


@pytest.mark.parametrize(
    "statistic", [Minimum(()), Minimum((Proportion(0, 0), Proportion(0, 0))), PairedCounts(0, 0, 0, 0), Proportion(0, 0)]
)
def test_no_sample_gives_neither_an_estimate_nor_an_interval(statistic):
    assert math.isnan(statistic.estimate)
    assert statistic.interval(0.95) is None


def test_a_cell_without_samples_leaves_the_smallest_share_as_it_is():
    one = Minimum((Proportion(3, 10), Proportion(0, 0)))
    assert one.estimate == pytest.approx(0.3)
    assert one.interval(0.95) == pytest.approx(Proportion(3, 10).interval(0.95))
