"""Properties of the intervals of every kind of statistic under hypothesis."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import clopper_pearson
from grmu_audit.intervals.combined import estimate, interval, scaled
from grmu_audit.intervals.proportions import proportion


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
