import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grmu_audit.metrics.membership.curves import SUPPRESSED_BELOW, loss_histogram, roc_points

SIZES = st.integers(1, 300)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), sizes=st.tuples(SIZES, SIZES, SIZES))
def test_no_bin_speaks_of_few_people(seed, sizes):
    rng = np.random.default_rng(seed)
    series = {name: rng.lognormal(rng.normal(), 2, n) for name, n in zip(("retain", "forget", "unseen"), sizes, strict=True)}
    found = loss_histogram(series)
    if found is None:
        assert min(sizes) < SUPPRESSED_BELOW
        return
    for name, counts in found["counts"].items():
        assert len(counts) == len(found["edges"]) - 1
        assert sum(counts) == len(series[name])
        assert all(count == 0 or count >= SUPPRESSED_BELOW for count in counts)
    assert found["edges"] == sorted(set(found["edges"]))


def test_losses_that_are_zero_or_huge_stay_in_the_outer_bins():
    found = loss_histogram({"forget": np.array([0.0] * 5 + [1e9] * 7)})
    assert found["counts"]["forget"][0] == 5
    assert sum(found["counts"]["forget"]) == 12
    assert found["edges"][-1] == 100.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n1=st.integers(1, 120), n0=st.integers(1, 800), levels=st.integers(1, 50))
def test_no_step_of_a_roc_speaks_of_few_people(seed, n1, n0, levels):
    rng = np.random.default_rng(seed)
    positive, negative = rng.integers(0, levels, n1) / 1.0, rng.integers(0, levels, n0) / 1.0
    found = roc_points(positive, negative, np.ones(n0))
    if found is None:
        assert min(n1, n0) < SUPPRESSED_BELOW
        return
    for rates, n in ((found["tpr"], n1), (found["fpr"], n0)):
        gained = np.rint(np.diff(np.array(rates) * n))
        assert rates[0] == 0.0
        assert rates[-1] == 1.0
        assert ((gained == 0) | (gained >= SUPPRESSED_BELOW)).all()
    for point in found["operating"]:
        assert (point["tpr"] is None) == (point["why"] is not None)
        if point["tpr"] is not None:
            assert not 0 < round(point["tpr"] * n1) < SUPPRESSED_BELOW
    json.dumps(found, allow_nan=False)


def test_the_curve_runs_through_the_rates_of_its_thresholds():
    positive, negative = np.arange(50.0) + 25.5, np.arange(100.0)
    found = roc_points(positive, negative, np.ones(100))
    for false, true in zip(found["fpr"], found["tpr"], strict=True):
        threshold = 100 - round(false * 100) - 1
        assert true == pytest.approx((positive > threshold).mean())
    operating = {point["fpr"]: point["tpr"] for point in found["operating"]}
    assert operating[0.1] == pytest.approx((positive > 89).mean())
    assert operating[0.001] is None


def test_weights_decide_the_false_positive_rate():
    negative = np.array([3.0] * 10 + [1.0] * 10)
    heavy = roc_points(np.full(10, 2.0), negative, np.repeat([3.0, 1.0], 10))
    assert (0.75, 1.0) in list(zip(heavy["fpr"], heavy["tpr"], strict=True))


def test_too_few_people_leave_no_curve():
    assert roc_points(np.ones(4), np.ones(100), np.ones(100)) is None
    assert loss_histogram({"forget": np.ones(4), "unseen": np.ones(100)}) is None
