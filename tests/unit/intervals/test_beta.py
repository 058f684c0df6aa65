"""Quantiles of the beta distribution and of Student's t against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betaincinv, expit
from scipy.stats import t as student

from grmu_audit.intervals import Area
from grmu_audit.intervals.beta import beta_quantile, student_quantile


@pytest.mark.parametrize("tail", [0.5e-9, 0.5e-5, 0.003, 0.025, 0.25])
@pytest.mark.parametrize("n", [0.05, 1, 5, 20, 200, 2000, 1e5, 1e8])
def test_beta_quantiles_agree_with_scipy(n, tail):
    a = np.array([0.01, 0.1, 0.3, 0.5, 0.9, 0.99, 1.0]) * n
    b = n - a + 1
    assert expit(beta_quantile(a, b, tail)) == pytest.approx(betaincinv(a, b, tail), rel=1e-6, abs=2e-9)


@pytest.mark.parametrize("alpha", [0.9, 0.5, 0.05, 0.001, 1e-6])
def test_student_quantiles_agree_with_scipy(alpha):
    degrees = np.array([1.0, 2.5, 9.0, 200.0, 1e5])
    assert student_quantile(alpha, degrees) == pytest.approx(student.isf(alpha / 2, degrees), rel=1e-6)


def test_an_area_that_is_0_in_all_but_name_has_finite_limits() -> None:
    for value in (5e-324, 1e-200):
        low, high = Area(value, 0.0, 1, 1, None, "effective", 0.0).limits(0.05)
        assert 0 <= low <= value
        assert high < 1
