"""Order-statistic limits of a threshold."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from grmu_audit.intervals.operating_points import LEVELS, threshold_ranks


@pytest.mark.parametrize("n", [1, 60, 100, 1000, 20_000])
@pytest.mark.parametrize("rate", [0.01, 0.001])
@pytest.mark.parametrize("alpha", LEVELS)
def test_ranks_leave_half_the_error_beyond_either_end(n, rate, alpha):
    first, last = threshold_ranks(n, rate, alpha)
    above = binom(n, rate)
    assert above.cdf(first - 1) <= alpha / 2 < above.cdf(first)
    assert last == n or above.sf(last - 1) <= alpha / 2 < above.sf(last - 2)
