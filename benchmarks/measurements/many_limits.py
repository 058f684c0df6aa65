"""Limits of the statistics of many draws at once, equal to those that the statistics themselves give one by one.

A simulation asks for the same limits millions of times.  Here quantiles are kept by their arguments, areas are taken together,
and gaps and minima over cells are computed on arrays [draws, terms, cells].  The tests compare draws of every kind of setting
with the limits that the statistics of ``grmu_audit.intervals`` give one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.measurements.cell_limits import (
    Floats,
    Moves,
    Pair,
    Shares,
    gap_change_limits,
    gap_limits,
    held,
    minimum_change_limits,
    minimum_limits,
)
from grmu_audit.intervals import Area, AreaChange, Gap, GapChange, Minimum, MinimumChange, Statistic, beta, closed_forms
from grmu_audit.intervals.areas import _CIRCLE, NEARLY_ZERO, most_comparisons
from grmu_audit.intervals.closed_forms import exact, student_factor, z_value

Quantile = Callable[[Floats, Floats, float], Floats]
_MOST_KEPT = 100
"""Quantiles that are looked up one by one; more are computed together."""


@contextmanager
def kept_quantiles() -> Iterator[None]:
    """Quantiles of the beta distribution are computed once for the same counts."""
    rule, kept = beta.beta_quantile, dict[float, dict[tuple[float, float], float]]()

    def quantile(a: Floats, b: Floats, probability: float) -> Floats:
        if len(a) > _MOST_KEPT:
            return rule(a, b, probability)
        known, wanted = kept.setdefault(probability, {}), list(zip(a.tolist(), b.tolist(), strict=True))
        new = [pair for pair in dict.fromkeys(wanted) if pair not in known]
        if new:
            table = np.array(new)
            known.update(zip(new, rule(table[:, 0], table[:, 1], probability).tolist(), strict=True))
        return np.array([known[pair] for pair in wanted])

    for module in (closed_forms, beta):
        setattr(module, "beta_quantile", quantile)  # noqa: B010, it is imported there
    try:
        yield
    finally:
        for module in (closed_forms, beta):
            setattr(module, "beta_quantile", rule)  # noqa: B010


def limits_of(statistics: Sequence[Statistic | None], alpha: float) -> Pair:
    """[draws] lower and upper limits; NaN where there are none.  Areas are taken together."""
    kinds = {(type(s), getattr(s, "method", "")) for s in statistics}
    if kinds == {(Area, "effective")}:
        return held(area_limits(statistics, alpha), np.array([s.value for s in statistics]))  # type: ignore[arg-type, union-attr]
    if kinds == {(AreaChange, "effective")}:
        return held(_change_limits(statistics, alpha), np.array([s.estimate for s in statistics if s]))  # type: ignore[arg-type]
    if {kind for kind, _ in kinds} <= {Gap, GapChange, Minimum, MinimumChange}:
        shapes = {_shape(s) for s in statistics}
        if len(shapes) == 1 and shapes != {()}:
            return _cell_limits(statistics, alpha)
    found = [statistic and statistic.limits(alpha) for statistic in statistics]
    table = np.array([(math.nan, math.nan) if pair is None else pair for pair in found])
    return table[:, 0], table[:, 1]


def _shape(statistic: Any) -> tuple[int, ...]:
    """How many cells its terms have, where all have as many and every cell holds samples; else nothing."""
    terms = [statistic.cells] if isinstance(statistic, Minimum) else statistic.terms
    sizes = {len(cells) for cells in terms}
    filled = len(sizes) == 1 and min(sizes) > 1 and all(cell.n > 0 for cells in terms for cell in cells)
    return tuple(len(cells) for cells in terms) if filled else ()


def _cell_limits(statistics: Sequence[Any], alpha: float) -> Pair:
    """Limits of gaps, minima or their changes of one shape."""
    first = statistics[0]
    form = (first if isinstance(first, Gap | Minimum) else first.left).method
    if isinstance(first, Minimum):
        return minimum_limits(Shares.of([s.cells for s in statistics], form), alpha)
    if isinstance(first, Gap):
        return gap_limits(Shares.of([s.terms for s in statistics], form), alpha, np.array([s.dependence for s in statistics]))
    pairs = form if first.terms[0][0].method == "bonett-price" else "clopper-pearson"
    if isinstance(first, MinimumChange):
        both = [
            Shares.of([side.cells for side in sides], form)
            for sides in ([s.left for s in statistics], [s.right for s in statistics])
        ]
        return minimum_change_limits((both[0], both[1]), Moves.of([s.terms[0] for s in statistics], pairs), alpha)
    both = [
        Shares.of([side.terms for side in sides], form) for sides in ([s.left for s in statistics], [s.right for s in statistics])
    ]
    more = [np.array(x) for x in zip(*((s.left.dependence, s.right.dependence, s.dependence) for s in statistics), strict=True)]
    return gap_change_limits((both[0], both[1]), Moves.of([s.terms for s in statistics], pairs), alpha, more)


def area_limits(areas: Sequence[Area], alpha: float) -> Pair:
    """Limits of areas by the form ``effective``."""
    value, se, n1, n0 = np.array([(a.value, a.se, a.n1, a.n0) for a in areas], dtype=np.float64).T
    degrees = np.array([math.inf if a.degrees is None else a.degrees for a in areas])
    most = np.array([most_comparisons(fewer) for fewer in np.minimum(n1, n0).tolist()])
    inside = (se > NEARLY_ZERO) & (value > NEARLY_ZERO) & (value < 1 - NEARLY_ZERO)
    worth = value * (1 - value) / np.where(inside, se, 1.0) ** 2 * student_factor(alpha, degrees)
    comparisons = np.where(inside, np.minimum(worth, most), most)
    return exact(value * comparisons, comparisons, alpha)


def _change_limits(changes: Sequence[AreaChange], alpha: float) -> Pair:
    sides = [[getattr(change, side) for change in changes] for side in ("left", "right")]
    one, other = (np.array([area.se for area in side]) for side in sides)
    se = np.array([change.se for change in changes])
    known = np.minimum(one, other) > NEARLY_ZERO
    r = np.where(known, (one**2 + other**2 - se**2) / np.where(known, 2 * one * other, 1.0), 0.0).clip(-1, 1)[:, None]
    first = _on_axis(sides[0], alpha, np.broadcast_to(_CIRCLE[0], (len(changes), len(_CIRCLE[0]))))
    second = _on_axis(sides[1], alpha, r * _CIRCLE[0] + np.sqrt(1 - r * r) * _CIRCLE[1])
    degrees = np.array([math.inf if change.degrees is None else change.degrees for change in changes])
    middle, half = np.array([c.estimate for c in changes]), z_value(alpha) * se / np.sqrt(student_factor(alpha, degrees))
    low = np.minimum(middle - half, (first - second).min(axis=1))
    high = np.maximum(middle + half, (first - second).max(axis=1))
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def _on_axis(areas: Sequence[Area], alpha: float, directions: Floats) -> Floats:
    value, comparisons = np.array([(a.value, most_comparisons(min(a.n1, a.n0))) for a in areas]).T
    low, high = held(area_limits(areas, alpha), value)
    middle = (value * comparisons + 0.5) / (comparisons + 1)
    near = (np.clip(x, NEARLY_ZERO, 1 - NEARLY_ZERO) for x in (np.minimum(low, middle), middle, np.maximum(high, middle)))
    lower, centre, upper = ((np.log(x) - np.log1p(-x))[:, None] for x in near)
    found: Floats = 1 / (1 + np.exp(-(centre + np.where(directions < 0, centre - lower, upper - centre) * directions)))
    return found
