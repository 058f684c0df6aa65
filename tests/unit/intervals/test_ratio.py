"""Fieller's limits of a ratio of means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.errors import InputError
from grmu_audit.intervals import Ratio, Statistic
from grmu_audit.intervals.closed_forms import z_value

numbers = st.floats(-5, 5, allow_nan=False)
variances = st.floats(1e-6, 2, allow_nan=False)


def fits(ratio: Ratio, r: float, z: float) -> bool:
    """Whether r is in the set that Fieller's theorem gives, from its definition."""
    spread = ratio.numerator_variance - 2 * r * ratio.covariance + r * r * ratio.denominator_variance
    return (ratio.numerator - r * ratio.denominator) ** 2 <= z * z * spread


@given(numbers, numbers, variances, variances, st.floats(-0.9, 0.9), st.sampled_from([0.01, 0.05, 0.1]))
def test_the_limits_bound_the_set_that_the_theorem_gives(numerator, denominator, v_n, v_d, correlation, alpha):
    ratio = Ratio(numerator, denominator, v_n, v_d, correlation * math.sqrt(v_n * v_d), 1e9)
    z, found = z_value(alpha), ratio.limits(alpha)
    if denominator**2 <= z * z * v_d:
        assert found is None
        return
    assert found is not None
    low, high = found
    width = max(high - low, 1e-6)
    assert low <= ratio.estimate <= high
    assert fits(ratio, ratio.estimate, z)
    assert not fits(ratio, low - 0.01 * width, z)
    assert not fits(ratio, high + 0.01 * width, z)
    assert fits(ratio, low + 0.01 * width, z)
    assert fits(ratio, high - 0.01 * width, z)


@pytest.mark.parametrize(("share", "people"), [(0.0, 40), (0.5, 40), (1.0, 25), (1.0, 200)])
def test_coverage_of_simulated_ratios_counts_undefined_ones_as_covered_by_no_claim(share, people):
    """Nominal 95 %; 2,000 simulated ratios, standard error of the coverage 0.5 points."""
    rng, covered, defined = np.random.default_rng(4), 0, 0
    for _ in range(2000):
        reference = rng.normal(-0.5, 1.0, people)
        candidate = share * reference + rng.normal(0, 0.5, people)
        # the truth of the ratio of means is share
        influence = np.stack([candidate - candidate.mean(), reference - reference.mean()], axis=1)
        influence /= math.sqrt(people * (people - 1))
        found = Ratio.of((float(candidate.mean()), float(reference.mean())), influence, people).limits(0.05)
        defined += found is not None
        covered += found is not None and found[0] <= share <= found[1]
    # an interval without bounds makes no claim: of those with a trace most must cover, and all sets together 95 %
    assert (covered + (2000 - defined)) / 2000 >= 0.935


def test_few_people_widen_the_limits_and_more_samples_narrow_them():
    many, few = (Ratio(-1.0, -2.0, 0.01, 0.04, 0.0, n) for n in (1e6, 5))
    assert few.limits(0.05)[0] < many.limits(0.05)[0] < many.limits(0.05)[1] < few.limits(0.05)[1]
    wide, narrow = many.limits(0.05), many.scaled(4).limits(0.05)
    assert narrow[0] > wide[0]
    assert narrow[1] < wide[1]
    assert many.scaled(4).estimate == many.estimate


def test_undefined_ratios_have_no_limits_and_never_an_infinite_one():
    assert math.isnan(Ratio(1.0, 0.0, 0.1, 0.1, 0.0, 50).estimate)
    assert Ratio(1.0, 0.0, 0.1, 0.1, 0.0, 50).limits(0.05) is None
    assert Ratio(1.0, 1e-12, 0.1, 0.1, 0.0, 50).limits(0.05) is None
    with pytest.raises(InputError, match="below 0"):
        Ratio(1.0, 1.0, -0.1, 0.1, 0.0, 50)


def test_json_round_trip():
    ratio = Ratio(-1.0, -2.0, 0.01, 0.04, 0.005, 40)
    assert Statistic.from_json(ratio.to_json()) == ratio
    assert ratio.to_json()["kind"] == "ratio"
