"""Statistics that are combined from others, where one of these has no interval."""

from __future__ import annotations

import pytest

from grmu_audit.intervals import Closeness, Difference, Largest, Least, Mean, Proportion, Replicated, SharedDifference

KNOWN, ALONE = Proportion(6, 10), Replicated(0.3, None, 0)
"""A statistic with an interval, and one of a single run, which has an estimate alone."""


@pytest.mark.parametrize(
    ("combine", "estimate"),
    [
        (lambda one, other: Closeness("mean", (one, other)), 0.55),
        (lambda one, other: Closeness("product", (one, other)), 0.28),
        (lambda one, other: Mean((one, other)), 0.45),
        (lambda one, other: Least((one, other)), 0.3),
        (lambda one, other: Largest((one, other)), 0.6),
        (Difference, 0.3),
        (SharedDifference, 0.3),
    ],
)
def test_a_part_without_an_interval_leaves_the_estimate_and_takes_the_interval(combine, estimate):
    made = combine(KNOWN, ALONE)
    assert made.estimate == pytest.approx(estimate)
    assert made.interval(0.95) is None
    assert combine(KNOWN, Replicated(0.3, 0.1, 9)).interval(0.95) is not None
