"""Means of samples, people and runs, with the standard error that as many replicates give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from grmu_audit.intervals import Replicated


def test_no_values_have_neither_a_mean_nor_an_interval():
    found = Replicated.of_samples(np.array([]), low=0.0, high=1.0)
    assert math.isnan(found.estimate)
    assert (found.se, found.df, found.low, found.high) == (None, 0, 0.0, 1.0)
    assert found.interval(0.95) is None


def test_people_instead_of_samples_are_the_replicates_where_they_are_known():
    values, person = np.array([1.0, 0.0, 0.5, 0.5]), np.array([7, 9, 7, 9])
    for owner, sums in ((None, [0.5, -0.5, 0.0, 0.0]), (person, [0.5, -0.5])):
        found, m = Replicated.of_samples(values, owner), len(sums)
        se = math.sqrt(m / (m - 1) * sum(x * x for x in sums)) / 4
        assert (found.value, found.se, found.df) == pytest.approx((0.5, se, m - 1))
        half = student.ppf(0.975, m - 1) * se
        assert found.interval(0.95) == pytest.approx((0.5 - half, 0.5 + half))


@pytest.mark.parametrize(
    "found",
    [
        Replicated.of_samples(np.array([0.25])),
        Replicated.of_samples(np.array([0.2, 0.3]), np.array([4, 4])),
        Replicated.of_runs(np.array([0.25])),
        Replicated.jackknife(0.25, np.array([0.25, np.nan])),
    ],
)
def test_one_replicate_has_an_estimate_alone(found):
    assert (found.estimate, found.se, found.df) == (pytest.approx(0.25), None, 0)
    assert found.interval(0.95) is None
