"""Intervals against statsmodels and scipy, and their properties under hypothesis."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import clopper_pearson, paired_difference, z_value
from grmu_audit.intervals.combined import estimate, interval, scaled
from grmu_audit.intervals.proportions import proportion

COUNTS = [(0, 1), (1, 1), (3, 3), (0, 40), (7, 40), (40, 40), (999, 1000)]


@pytest.mark.parametrize(("k", "n"), COUNTS)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_wilson_and_clopper_pearson_agree_with_statsmodels(k, n, confidence):
    assert interval(proportion(k, n), confidence) == pytest.approx(proportion_confint(k, n, 1 - confidence, "wilson"), abs=1e-9)
    assert clopper_pearson(k, n, confidence) == pytest.approx(proportion_confint(k, n, 1 - confidence, "beta"), abs=1e-9)


def test_a_design_effect_counts_as_fewer_samples():
    assert interval(proportion(20, 80, 4.0), 0.95) == pytest.approx(proportion_confint(5, 20, 0.05, "wilson"), abs=1e-12)


@pytest.mark.parametrize(("a", "b"), [((3, 10), (7, 12)), ((0, 20), (20, 20)), ((50, 100), (50, 100)), ((1, 2), (999, 1000))])
def test_difference_agrees_with_statsmodels_newcombe(a, b):
    made = interval({"kind": "difference", "left": proportion(*a), "right": proportion(*b)}, 0.95)
    assert made == pytest.approx(confint_proportions_2indep(*a, *b, method="newcomb", compare="diff"), abs=1e-9)


def test_a_gap_of_two_cells_is_the_folded_newcombe_interval():
    low, high = confint_proportions_2indep(30, 40, 10, 40, method="newcomb", compare="diff")
    gap = {"kind": "gap", "terms": [[proportion(10, 40), proportion(30, 40)]], "aggregate": "max"}
    assert interval(gap, 0.95)[1] == pytest.approx(high, abs=1e-9)
    low, _ = confint_proportions_2indep(30, 40, 10, 40, method="newcomb", compare="diff", alpha=0.04)
    assert interval(gap, 0.95)[0] == pytest.approx(low, abs=1e-9)
    equal = {"kind": "gap", "terms": [[proportion(20, 40), proportion(20, 40)]], "aggregate": "max"}
    assert interval(equal, 0.95)[0] == 0.0


def test_bonett_price_as_published_at_95_per_cent():
    # Bonett and Price (2012): add one to each discordant count, two to the total.
    gained, lost, n = 10, 2, 100
    p, q, m = (gained + 1) / (n + 2), (lost + 1) / (n + 2), n + 2
    half = z_value(0.05) * math.sqrt((p + q - (p - q) ** 2) / m)
    assert paired_difference(gained, lost, n, 0.05) == pytest.approx((p - q - half, p - q + half), abs=1e-12)


@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_paired_interval_covers_by_simulation(alpha):
    rng = np.random.default_rng(3)
    for n, gained, lost in ((60, 0.08, 0.02), (200, 0.03, 0.03), (500, 0.02, 0.0)):
        draws = rng.multinomial(n, [gained, lost, 1 - gained - lost], size=4000)
        hits = 0
        for g, b, _ in draws:
            low, high = paired_difference(g, b, n, alpha)
            hits += low <= gained - lost <= high
        assert hits / len(draws) >= 1 - alpha - 0.012


def test_gap_covers_simultaneously_by_simulation():
    rng = np.random.default_rng(5)
    for truth in ([0.8, 0.8], [0.9, 0.7, 0.8], [0.95, 0.6, 0.6, 0.9]):
        n = 60
        hits = 0
        for _ in range(500):
            cells = [proportion(int(rng.binomial(n, p)), n) for p in truth]
            low, high = interval({"kind": "gap", "terms": [cells], "aggregate": "max"}, 0.95)
            hits += low <= max(truth) - min(truth) <= high
        assert hits >= 0.93 * 500


def one_side(pair, alone):
    n = sum(pair[key] for key in ("both", "only_candidate", "only_other", "none"))
    return proportion(pair["both"] + pair[alone], n, pair["deff"])


cells = (
    st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n), st.floats(1, 5))).map(lambda t: proportion(*t))
)
pairs = st.tuples(*[st.integers(0, 60)] * 4, st.floats(1, 5)).filter(lambda t: sum(t[:4]) > 0)
paired = pairs.map(
    lambda t: {"kind": "paired", **dict(zip(("both", "only_candidate", "only_other", "none", "deff"), t, strict=True))}
)
curves = st.tuples(st.floats(0, 1), st.floats(0, 0.3), st.integers(1, 200), st.integers(1, 200)).map(
    lambda t: {"kind": "auc", "value": t[0], "se": t[1], "n1": t[2], "n0": t[3]}
)
gaps = st.tuples(st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1, max_size=3), st.sampled_from(["mean", "max"])).map(
    lambda t: {"kind": "gap", "terms": t[0], "aggregate": t[1]}
)
minima = st.lists(cells, min_size=1, max_size=5).map(lambda c: {"kind": "minimum", "cells": c})
two = st.sampled_from(["difference", "difference_box"])
differences = st.tuples(two, cells | minima, cells | curves).map(lambda t: {"kind": t[0], "left": t[1], "right": t[2]})
near = st.tuples(st.lists(paired | differences, min_size=1, max_size=4), st.sampled_from(["mean", "product"])).map(
    lambda t: {"kind": "closeness", "terms": t[0], "aggregate": t[1]}
)
curve_changes = st.tuples(curves, curves, st.floats(0, 0.4)).map(
    lambda t: {"kind": "auc_change", "left": t[0], "right": t[1], "se": t[2]}
)
several = st.lists(paired, min_size=2, max_size=3)
moves = st.tuples(gaps, gaps, st.lists(several, min_size=1, max_size=2), st.sampled_from(["mean", "max"])).map(
    lambda t: {"kind": "bounded_change", "left": t[0], "right": t[1], "terms": t[2], "aggregate": t[3]}
)
minimum_moves = several.map(
    lambda pairs: {
        "kind": "bounded_change",
        "left": {"kind": "minimum", "cells": [one_side(pair, "only_candidate") for pair in pairs]},
        "right": {"kind": "minimum", "cells": [one_side(pair, "only_other") for pair in pairs]},
        "terms": [pairs],
        "aggregate": "min",
    }
)
curve_gaps = st.lists(curves, min_size=2, max_size=4).map(lambda c: {"kind": "auc_gap", "cells": c})
gains = st.tuples(several, st.integers(0, 1)).map(lambda t: {"kind": "share_of_gain", "cells": t[0], "chosen": t[1]})
gains = gains.filter(lambda s: math.isfinite(estimate(s)))
means = st.lists(paired | near, min_size=1, max_size=3).map(lambda t: {"kind": "mean", "terms": t})
statistics = (
    cells
    | paired
    | curves
    | gaps
    | minima
    | differences
    | near
    | curve_changes
    | moves
    | minimum_moves
    | means
    | curve_gaps
    | gains
)


@settings(max_examples=200, deadline=None)
@given(statistics, st.floats(0.5, 0.9999), st.floats(0.5, 0.9999))
def test_every_interval_holds_its_estimate_is_finite_and_grows_with_confidence(statistic, first, second):
    value = estimate(statistic)
    narrow, wide = interval(statistic, min(first, second)), interval(statistic, max(first, second))
    assert narrow is not None
    assert wide is not None
    assert all(math.isfinite(x) for x in (value, *narrow, *wide))
    assert narrow[0] <= value <= narrow[1]
    slack = 0.02 if "paired" in str(statistic) else 1e-9  # the pseudo-count of paired intervals moves with the level
    assert wide[0] <= narrow[0] + slack
    assert narrow[1] <= wide[1] + slack


@settings(max_examples=200, deadline=None)
@given(cells | paired | curves | gaps | minima, st.floats(1, 1000))
def test_more_samples_keep_the_estimate_and_narrow_the_interval(statistic, factor):
    more = scaled(statistic, factor)
    assert estimate(more) == pytest.approx(estimate(statistic), abs=1e-9)
    narrow, wide = interval(more, 0.95), interval(statistic, 0.95)
    assert narrow[1] - narrow[0] <= wide[1] - wide[0] + 1e-9


@settings(max_examples=100, deadline=None)
@given(cells, cells)
def test_swapping_the_sides_mirrors_a_difference(left, right):
    low, high = interval({"kind": "difference", "left": left, "right": right}, 0.95)
    other = interval({"kind": "difference", "left": right, "right": left}, 0.95)
    assert (low, high) == pytest.approx((-other[1], -other[0]), abs=1e-12)


def test_degenerate_curves_have_width():
    for value in (0.0, 0.5, 1.0):
        low, high = interval({"kind": "auc", "value": value, "se": 0.0, "n1": 20, "n0": 30}, 0.95)
        assert high - low > 0.05


def test_many_cells_use_the_box_and_stay_valid():
    many = {"kind": "gap", "terms": [[proportion(5, 10)] * 65], "aggregate": "max"}
    few = {"kind": "gap", "terms": [[proportion(5, 10)] * 64], "aggregate": "max"}
    assert interval(many, 0.95)[0] == interval(few, 0.95)[0] == 0.0
    assert interval(many, 0.95)[1] <= 1.0


def test_no_samples_no_interval_and_bad_input_is_refused():
    assert interval(proportion(0, 0), 0.95) is None
    assert math.isnan(estimate(proportion(0, 0)))
    with pytest.raises(InputError, match="unknown kind of statistic 'propotion'"):
        estimate({"kind": "propotion"})
    with pytest.raises(InputError, match=r"confidence 1\.0 is outside"):
        interval(proportion(1, 2), 1.0)
    with pytest.raises(ValueError, match="no proportion"):
        clopper_pearson(3, 2)
