"""Properties of the intervals of every kind of statistic under hypothesis."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grmu_audit.errors import InputError
from grmu_audit.intervals import (
    Area,
    AreaChange,
    AreaGap,
    Closeness,
    Difference,
    Gap,
    GapChange,
    Largest,
    Least,
    Mean,
    Minimum,
    MinimumChange,
    PairedCounts,
    Proportion,
    RateAtThreshold,
    RateRatio,
    Replicated,
    SharedDifference,
    ShareOfGain,
    Spread,
    Statistic,
)
from grmu_audit.intervals.closed_forms import clopper_pearson
from grmu_audit.intervals.statistic import aggregate


def one_side(pair, alone):
    return Proportion(pair.both + getattr(pair, alone), pair.n, pair.deff)


cells = (
    st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n), st.floats(1, 5))).map(lambda t: Proportion(*t))
)

pairs = st.tuples(*[st.integers(0, 60)] * 4, st.floats(1, 5)).filter(lambda t: sum(t[:4]) > 0)

paired = pairs.map(lambda t: PairedCounts(*t))

curves = st.tuples(st.floats(0, 1), st.floats(0, 0.3), st.integers(1, 200), st.integers(1, 200)).map(lambda t: Area(*t))

gaps = st.tuples(st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1, max_size=3), st.sampled_from(["mean", "max"])).map(
    lambda t: Gap(tuple(map(tuple, t[0])), t[1])
)

minima = st.lists(cells, min_size=1, max_size=5).map(lambda c: Minimum(tuple(c)))

two = st.sampled_from([Difference, SharedDifference])

differences = st.tuples(two, cells | minima, cells | curves).map(lambda t: t[0](t[1], t[2]))

near = st.tuples(st.lists(paired | differences, min_size=1, max_size=4), st.sampled_from(["mean", "product"])).map(
    lambda t: Closeness(t[1], tuple(t[0]))
)

curve_changes = st.tuples(curves, curves, st.floats(0, 0.4)).map(lambda t: AreaChange(*t))

several = st.lists(paired, min_size=2, max_size=3)

moves = st.tuples(gaps, gaps, st.lists(several, min_size=1, max_size=2), st.sampled_from(["mean", "max"])).map(
    lambda t: GapChange(t[0], t[1], tuple(map(tuple, t[2])), t[3])
)

minimum_moves = several.map(
    lambda pairs: MinimumChange(
        Minimum(tuple(one_side(pair, "only_candidate") for pair in pairs)),
        Minimum(tuple(one_side(pair, "only_other") for pair in pairs)),
        (tuple(pairs),),
    )
)

curve_gaps = st.lists(curves, min_size=2, max_size=4).map(lambda c: AreaGap(tuple(c)))

gains = st.tuples(several, st.integers(0, 1)).map(lambda t: ShareOfGain(tuple(t[0]), t[1]))

gains = gains.filter(lambda s: math.isfinite(s.estimate))

means = st.lists(paired | near, min_size=1, max_size=3).map(lambda t: Mean(tuple(t)))

thresholds = st.tuples(cells, st.floats(0, 1), st.floats(0, 1)).map(
    lambda t: RateAtThreshold(t[0], (0.05, 0.001), (t[1] * t[0].estimate, 0.0), (t[0].estimate + t[2] * (1 - t[0].estimate), 1.0))
)

effective = st.tuples(curves, st.floats(0, 30)).map(
    lambda t: Area(t[0].value, t[0].se, t[0].n1, t[0].n0, None, "effective", t[1])
)

effective_changes = st.tuples(effective, effective, st.floats(0, 1)).map(
    lambda t: AreaChange(t[0], t[1], abs(t[0].se - t[1].se) + 2 * t[2] * min(t[0].se, t[1].se), method="effective", degrees=5.0)
)

replicated = st.tuples(st.floats(-1, 1), st.floats(0, 0.5), st.integers(1, 40)).map(lambda t: Replicated(*t, low=-2.0))
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
    | replicated
    | thresholds
    | effective
    | effective_changes
)
statistics = statistics | statistics.map(lambda made: made.exact())


@settings(max_examples=200, deadline=None)
@given(statistics, st.floats(0.5, 0.9999), st.floats(0.5, 0.9999))
def test_every_interval_holds_its_estimate_is_finite_and_grows_with_confidence(statistic, first, second):
    value = statistic.estimate
    narrow, wide = statistic.interval(min(first, second)), statistic.interval(max(first, second))
    assert narrow is not None
    assert wide is not None
    assert all(math.isfinite(x) for x in (value, *narrow, *wide))
    assert narrow[0] <= value <= narrow[1]
    if isinstance(statistic, AreaChange) and statistic.method == "effective":
        return  # drawn standard errors need not fit each other, as those of two areas of the same samples do
    slack = 0.02 if "PairedCounts" in str(statistic) else 1e-9  # the pseudo-count of paired intervals moves with the level
    assert wide[0] <= narrow[0] + slack
    assert narrow[1] <= wide[1] + slack


@settings(max_examples=200, deadline=None)
@given(cells | paired | curves | gaps | minima, st.floats(1, 1000))
def test_more_samples_keep_the_estimate_and_narrow_the_interval(statistic, factor):
    more = statistic.scaled(factor)
    assert more.estimate == pytest.approx(statistic.estimate, abs=1e-9)
    narrow, wide = more.interval(0.95), statistic.interval(0.95)
    assert narrow[1] - narrow[0] <= wide[1] - wide[0] + 1e-9


@settings(max_examples=100, deadline=None)
@given(cells, cells)
def test_swapping_the_sides_mirrors_a_difference(left, right):
    low, high = Difference(left, right).interval(0.95)
    other = Difference(right, left).interval(0.95)
    assert (low, high) == pytest.approx((-other[1], -other[0]), abs=1e-12)


def test_degenerate_curves_have_width():
    for value in (0.0, 0.5, 1.0):
        low, high = Area(value, 0.0, 20, 30).interval(0.95)
        assert high - low > 0.05


def test_many_cells_use_the_box_and_stay_valid():
    many = Gap(((Proportion(5, 10),) * 65,), "max")
    few = Gap(((Proportion(5, 10),) * 64,), "max")
    assert many.interval(0.95)[0] == few.interval(0.95)[0] == 0.0
    assert many.interval(0.95)[1] <= 1.0


def test_no_samples_no_interval_and_bad_input_is_refused():
    assert Proportion(0, 0).interval(0.95) is None
    assert math.isnan(Proportion(0, 0).estimate)
    with pytest.raises(InputError, match=r"confidence 1\.0 is outside"):
        Proportion(1, 2).interval(1.0)
    with pytest.raises(ValueError, match="no proportion"):
        clopper_pearson(3, 2)


@settings(max_examples=200, deadline=None)
@given(statistics, st.sampled_from(["default", "wilson", "clopper-pearson"]))
def test_json_reads_back_to_the_same_statistic_and_keeps_whole_numbers(statistic, method):
    made = statistic.by_method(method)
    tree = json.loads(json.dumps(made.to_json()))
    assert Statistic.from_json(tree) == made
    assert json.dumps(Statistic.from_json(tree).to_json()) == json.dumps(tree)


def test_the_json_form_of_every_kind():
    cell, pair = Proportion(3, 4), PairedCounts(5, 3, 1, 1, 1.5, 7)
    one, two = {"kind": "proportion", "k": 3, "n": 4, "deff": 1.0}, {"kind": "paired", "both": 5, "only_candidate": 3}
    two |= {"only_other": 1, "none": 1, "deff": 1.5, "persons": 7}
    area = {"kind": "auc", "value": 0.6, "se": 0.1, "n1": 9, "n0": 8}
    least, gap = {"kind": "minimum", "cells": [one]}, {"kind": "gap", "terms": [[one, one]], "aggregate": "max"}
    moved = {"kind": "bounded_change", "left": least, "right": least, "terms": [[two]], "aggregate": "min"}
    widened = {"kind": "bounded_change", "left": gap, "right": gap, "terms": [[two, two]], "aggregate": "max"}
    smallest, span, curve = Minimum((cell,)), Gap(((cell, cell),), "max"), Area(0.6, 0.1, 9, 8)
    forms = [
        (cell, one),
        (cell.by_method("clopper-pearson"), {**one, "method": "clopper-pearson"}),
        (pair, two),
        (pair.exact(), {**two, "method": "exact"}),
        (smallest, least),
        (span, gap),
        (MinimumChange(smallest, smallest, ((pair,),)), moved),
        (GapChange(span, span, ((pair, pair),), "max"), widened),
        (curve, area),
        (Area(0.6, 0.1, 9, 8, method="effective", degrees=7.5), {**area, "method": "effective", "degrees": 7.5}),
        (replace(span, dependence=1.5), {**gap, "dependence": 1.5}),
        (
            RateAtThreshold(cell, (0.05,), (0.5,), (1.0,)),
            {"kind": "rate_at_threshold", "called": one, "levels": [0.05], "fewest": [0.5], "most": [1.0]},
        ),
        (AreaChange(curve, curve, 0.2, 5), {"kind": "auc_change", "left": area, "right": area, "se": 0.2, "persons": 5}),
        (AreaGap((curve,)), {"kind": "auc_gap", "cells": [area]}),
        (Difference(cell, pair), {"kind": "difference", "left": one, "right": two}),
        (SharedDifference(curve, cell), {"kind": "difference_box", "left": area, "right": one}),
        (Closeness("product", (pair,)), {"kind": "closeness", "aggregate": "product", "terms": [two]}),
        (Mean((pair, cell)), {"kind": "mean", "terms": [two, one]}),
        (ShareOfGain((pair,), 0), {"kind": "share_of_gain", "cells": [two], "chosen": 0}),
        (Replicated(1.0, None, 3, 0.0), {"kind": "student", "value": 1.0, "se": None, "df": 3, "low": 0.0, "high": None}),
    ]
    for statistic, tree in forms:
        assert statistic.to_json() == tree
        assert Statistic.from_json(tree) == statistic
    assert SharedDifference(cell, cell) != Difference(cell, cell)


def nested(depth):
    tree = {"kind": "proportion", "k": 1, "n": 2}
    for _ in range(depth):
        tree = {"kind": "mean", "terms": [tree]}
    return tree


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"kind": "propotion"}, "unknown kind of statistic 'propotion'"),
        ({"kind": ["x"]}, "unknown kind"),
        ([1], "not of type list"),
        ({"kind": "proportion", "k": 1}, "'proportion' needs n"),
        ({"kind": "proportion", "k": 1, "n": 2, "m": 3}, "'proportion' has no 'm'"),
        ({"kind": "proportion", "k": "1", "n": 2}, "proportion.k is '1', not a number"),
        ({"kind": "proportion", "k": True, "n": 2}, "proportion.k is 'True', not a number"),
        ({"kind": "proportion", "k": 10**400, "n": 2}, "proportion.k is 10+, outside"),
        ({"kind": "proportion", "k": math.inf, "n": 2}, "proportion.k is inf, outside"),
        (
            {"kind": "proportion", "k": 1, "n": 2, "method": "exact"},
            "proportion.method is 'exact', not 'wilson' or 'clopper-pearson'",
        ),
        ({"kind": "minimum", "cells": {"kind": "proportion", "k": 1, "n": 2}}, "minimum.cells is .* not a list"),
        ({"kind": "minimum", "cells": [{"kind": "auc", "value": 1, "se": 0, "n1": 1, "n0": 1}]}, "not a Proportion"),
        ({"kind": "gap", "terms": [], "aggregate": "min"}, "gap.aggregate is 'min', not 'mean' or 'max'"),
        ({"kind": "share_of_gain", "cells": [], "chosen": 0.5}, "share_of_gain.chosen is '0.5', not a whole number"),
        ({"kind": "share_of_gain", "cells": [], "chosen": 0}, "share_of_gain.chosen is 0, which is none of 0 cells"),
        (nested(100_000), "nested too deeply"),
    ],
)
def test_a_statistic_that_is_none_is_refused_by_name(tree, message):
    with pytest.raises(InputError, match=message):
        Statistic.from_json(tree)


NESTED = {"kind": "mean", "terms": [{"kind": "proportion", "k": 1, "n": 2}]}
for _ in range(8):
    NESTED = {"kind": "least", "terms": [NESTED, NESTED]}
AREA = {"kind": "auc", "value": 0.5, "se": 0.1, "n1": 5, "n0": 5}
RATE = {"kind": "rate_at_threshold", "called": {"kind": "proportion", "k": 1, "n": 2}}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"kind": "proportion", "k": 1, "n": 2, "deff": 0}, "proportion.deff is 0, outside"),
        ({"kind": "proportion", "k": 1, "n": 2, "deff": 0.5}, "outside"),
        ({"kind": "paired", "both": 1, "only_candidate": 1, "only_other": 1, "none": 1, "deff": 0.0}, "paired.deff"),
        ({"kind": "proportion", "k": 3, "n": 2}, "3 of 2 samples"),
        ({"kind": "proportion", "k": -1, "n": 2}, "proportion.k"),
        ({"kind": "proportion", "k": 10**399, "n": 10**400}, "proportion.k is 1000"),
        ({"kind": "proportion", "k": [1], "n": 2}, "proportion.k is of type list, not a number"),
        ({"kind": "proportion", "k": True, "n": 2}, "not a number"),
        ({"kind": "proportion", "k": 1, "n": math.inf}, "proportion.n"),
        ({**AREA, "value": 1.5}, "an area of 1.5"),
        ({**AREA, "se": -0.1}, "auc.se"),
        ({**AREA, "se": 1e200}, "auc.se"),
        ({**AREA, "method": ["logit"]}, "auc.method"),
        ({"kind": "closeness", "aggregate": "mean", "terms": []}, "it has no term"),
        ({"kind": "mean", "terms": []}, "it has no term"),
        ({"kind": "least", "terms": []}, "it has no term"),
        (NESTED, "nested too deeply"),
        ({**RATE, "levels": [], "fewest": [], "most": []}, "0 levels"),
        ({**RATE, "levels": [0.05, 0.01], "fewest": [0.0], "most": [1.0, 1.0]}, "2 levels with 1"),
        ({**RATE, "levels": [0.01, 0.05], "fewest": [0.0, 0.0], "most": [1.0, 1.0]}, "do not fall"),
        ({**RATE, "levels": [1.0], "fewest": [0.0], "most": [1.0]}, "do not fall"),
        ({"kind": "student", "value": 3.0, "se": None, "df": 3, "high": 1.0}, "3 outside"),
        ({"kind": "ratio", "numerator": 1e200, "denominator": 1.0}, "needs numerator_variance"),
        ({"kind": "gap", "terms": [[]], "aggregate": "mean", "dependence": 0.0}, "gap.dependence"),
        ({"kind": ["proportion"]}, "unknown kind"),
        ([1], "a statistic is an object"),
    ],
)
def test_a_statistic_that_cannot_be_is_one_error(tree, message):
    with pytest.raises(InputError, match=message):
        Statistic.from_json(tree)


@pytest.mark.parametrize(("how", "wanted"), [("mean", 0.5), ("max", 0.8), ("min", 0.2), ("product", 0.08)])
def test_numbers_are_aggregated_by_name_and_nothing_to_no_number(how, wanted):
    assert aggregate([0.2, 0.5, 0.8], how) == pytest.approx(wanted)
    assert math.isnan(aggregate([], how))


@pytest.mark.parametrize("how", ["mean", "max", "min", "product"])
def test_an_unknown_number_makes_every_aggregate_unknown_in_any_order(how):
    for values in ([0.2, math.nan], [math.nan, 0.2]):
        assert math.isnan(aggregate(values, how))


def test_a_part_without_samples_leaves_no_estimate_in_any_order():
    known, nothing = Proportion(3, 10), Proportion(0, 0)
    for terms in ((known, nothing), (nothing, known)):
        for kind in (Largest, Least, Mean, Spread):
            assert math.isnan(kind(terms).estimate)
    cells = (known, Proportion(5, 10))
    for terms in ((cells, (nothing,)), ((nothing,), cells)):
        assert math.isnan(Gap(terms, "max").estimate)
    assert math.isnan(RateRatio((known, nothing)).estimate)


def test_the_spread_of_a_mean_and_itself_has_an_interval():
    one = Proportion(3, 10)
    assert Spread((one, one)).limits(0.05) == Spread((one, Proportion(3, 10))).limits(0.05)


def test_a_mean_of_nothing_has_neither_an_estimate_nor_an_interval():
    for statistic in (Mean(()), Closeness("product", ())):
        assert math.isnan(statistic.estimate)
        assert statistic.interval(0.95) is None
