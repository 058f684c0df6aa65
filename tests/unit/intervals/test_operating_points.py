"""Order-statistic limits of a threshold, and what they add to the limits of a share above it."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binom

from grmu_audit.intervals import AtThreshold, Proportion, RateAtThreshold
from grmu_audit.intervals.closed_forms import z_value
from grmu_audit.intervals.operating_points import LEVELS, threshold_ranks


@pytest.mark.parametrize("n", [1, 60, 100, 1000, 20_000])
@pytest.mark.parametrize("rate", [0.01, 0.001])
@pytest.mark.parametrize("alpha", LEVELS)
def test_ranks_leave_half_the_error_beyond_either_end(n, rate, alpha):
    first, last = threshold_ranks(n, rate, alpha)
    above = binom(n, rate)
    assert above.cdf(first - 1) <= alpha / 2 < above.cdf(first)
    assert last == n or above.sf(last - 1) <= alpha / 2 < above.sf(last - 2)


@pytest.mark.parametrize("kind", [RateAtThreshold, AtThreshold])
def test_nothing_above_or_below_a_threshold_has_no_interval(kind):
    none = kind(Proportion(0, 0), (0.05,), (0.0,), (1.0,))
    assert math.isnan(none.estimate)
    assert none.interval(0.95) is None
    assert kind(Proportion(4, 10), (0.05,), (0.0,), (1.0,)).interval(0.95) is not None


@pytest.mark.parametrize("kind", [RateAtThreshold, AtThreshold])
@pytest.mark.parametrize(("confidence", "times"), [(0.999, z_value(0.001) / z_value(0.05)), (0.95, 1.0)])
def test_beyond_the_last_level_a_threshold_reaches_further_with_the_normal_quantile(kind, confidence, times):
    called = Proportion(5000, 10_000)
    low, high = kind(called, (0.2, 0.05), (0.45, 0.42), (0.56, 0.6)).interval(confidence)
    known = called.interval(confidence)
    assert low == pytest.approx(0.5 - math.hypot(0.5 - known[0], 0.08 * times))
    assert high == pytest.approx(0.5 + math.hypot(known[1] - 0.5, 0.1 * times))
