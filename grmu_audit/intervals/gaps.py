"""Largest minus smallest of several proportions, and the change of a minimum or of a max - min between two models.

All rest on one argument.  A max - min, or a mean of several, is the largest of many contrasts.  Its upper limit can only be
missed if the limit of the one contrast that is truly the largest is, so it needs no correction for their number; its
lower limit does (Bonferroni).  Near zero the upper limit cannot be missed at all and the lower one may use nearly all of
``alpha`` (four fifths, since Newcombe's limits are a little short); far from zero each unordered pair can be missed in one
direction only, so that less than ``alpha / 2`` is lost below and ``alpha / 2`` above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from grmu_audit.intervals.closed_forms import Floats, newcombe
from grmu_audit.intervals.proportions import Mask, Method, Minimum, PairedCounts, Proportion, cell_limits, non_empty, rates
from grmu_audit.intervals.statistic import Limits, Statistic, aggregate, simultaneous_limits

MOST_PAIRED_CELLS = 64
"""Cells up to which every pair is looked at; more are bounded by their largest and smallest limits."""
LOWER_TAIL_SHARE = 0.8
"""Share of the error that the lower limit of a max - min may use at zero."""
_FINEST = 1e-10
_SEARCH = 0.2
_MOVED = 0.8
GapAggregate = Literal["mean", "max"]
Pairs = tuple[PairedCounts, ...]


@dataclass(frozen=True)
class Gap(Statistic):
    """Largest minus smallest proportion over the cells of each term, and the mean or maximum over terms."""

    kind: ClassVar[str] = "gap"
    terms: tuple[tuple[Proportion, ...], ...]
    """Cells of each term."""
    aggregate: GapAggregate
    """Aggregation of the terms."""
    method: Method = "wilson"
    """Interval method of a cell."""
    dependence: float = 1.0
    """How many times larger the variance of a contrast of cells can be than of independent cells (``contrast_inflation``)."""

    @property
    def estimate(self) -> float:
        """Span (max - min) of k / n of each term, aggregated; NaN where a term holds no sample."""
        found = [rates(cells) for cells in self.terms]
        return aggregate([float(np.ptp(p)) if len(p) else math.nan for p in found], self.aggregate)

    def raw_limits(self, alpha: float) -> Limits | None:
        """See the module; None where a term has fewer than two cells with samples."""
        terms = [non_empty(cells) for cells in self.terms]
        if not terms or any(len(cells) < 2 for cells in terms):
            return None
        tops = np.array([_top(cells, alpha, self.method) for cells in terms])
        spans = np.array([np.ptp(rates(cells)) for cells in terms])
        middle, wider = self.estimate, math.sqrt(self.dependence)
        low = middle - wider * (middle - _lower(terms, alpha * LOWER_TAIL_SHARE, self.aggregate, self.method))
        high = middle + wider * (_join(spans, tops, self.aggregate) - middle)
        return max(0.0, low), min(1.0, high)

    def exact(self) -> Gap:
        """The same cells with Clopper and Pearson's limits."""
        return replace(self, method="clopper-pearson")


@dataclass(frozen=True)
class MinimumChange(Statistic):
    """Smallest proportion of the candidate minus the other model's, over the same cells and samples."""

    kind: ClassVar[str] = "bounded_change"
    constants: ClassVar[Mapping[str, str]] = {"aggregate": "min"}
    left: Minimum
    """The candidate's."""
    right: Minimum
    """The other model's."""
    terms: tuple[Pairs, ...]
    """One term: the paired counts of every cell."""

    @property
    def estimate(self) -> float:
        """Left minus right."""
        return self.left.estimate - self.right.estimate

    def raw_limits(self, alpha: float) -> Limits | None:
        """Limits of min(candidate) - min(other).

        With c the cell that is truly the candidate's smallest, the change is the largest over h of candidate[c] - other[h].
        So the lower limit is the smallest, over the cells that may be c, of the largest limit over h (simultaneous over h;
        h = c is a paired comparison and gets half of the error).  The upper limit mirrors it.
        """
        pairs = non_empty(self.terms[0]) if self.terms else []
        left, right = non_empty(self.left.cells), non_empty(self.right.cells)
        if not pairs:
            return None
        if not 1 < len(pairs) <= MOST_PAIRED_CELLS or not len(left) == len(right) == len(pairs):
            low, high = _paired_columns(pairs, alpha)
            return float(low.min()), float(high.max())
        search, rest, method = alpha * _SEARCH, alpha * (1 - _SEARCH), self.left.method
        lower, upper = _across(left, right, rest / (2 * (len(pairs) - 1)), method)
        low, high = _paired_columns(pairs, rest / 2)
        np.fill_diagonal(lower, low)
        np.fill_diagonal(upper, high)
        own = possible_extremes(left, search, largest=False, method=method)
        others = possible_extremes(right, search, largest=False, method=method)
        return float(lower.max(axis=1)[own].min()), float(upper.min(axis=0)[others].max())


@dataclass(frozen=True)
class GapChange(Statistic):
    """Gap of the candidate minus the other model's, over the same cells and samples."""

    kind: ClassVar[str] = "bounded_change"
    left: Gap
    """The candidate's."""
    right: Gap
    """The other model's."""
    terms: tuple[Pairs, ...]
    """Paired counts of the cells of each term."""
    aggregate: GapAggregate
    """Aggregation of the terms."""
    dependence: float = 1.0
    """As a gap's, for the changes of the cells."""

    @property
    def estimate(self) -> float:
        """Left minus right."""
        return self.left.estimate - self.right.estimate

    def raw_limits(self, alpha: float) -> Limits | None:
        """Both the limits of the two sides and what the cells moved by bound the change."""
        box, moved = simultaneous_limits(self.left, self.right, alpha * (1 - _MOVED)), self._moved_limits(alpha * _MOVED)
        if box is None or moved is None:
            return box
        return max(box[0], moved[0]), min(box[1], moved[1])

    def _moved_limits(self, alpha: float) -> Limits | None:
        """From the paired changes of the cells.

        With (i, j) the candidate's truly largest and smallest cell, the change is at most change[i] - change[j]; with those
        of the other model it is at least that.  Only cells that may be the largest or smallest are looked at.
        """
        terms = [non_empty(cells) for cells in self.terms]
        if not terms or any(len(cells) < 2 for cells in terms):
            return None
        sides = [[non_empty(cells) for cells in side.terms] for side in (self.left, self.right)]
        if [[len(c) for c in side] for side in sides] != [[len(c) for c in terms]] * 2:
            sides = [[], []]
        search, rest, method = alpha * _SEARCH / len(terms), alpha * (1 - _SEARCH), self.left.method
        found = [
            _term_moves(pairs, [side[i] if side else None for side in sides], search, rest, method)
            for i, pairs in enumerate(terms)
        ]
        low_point, low, high_point, high = (np.array(column) for column in zip(*found, strict=True))
        wider = math.sqrt(self.dependence)
        low, high = low_point + wider * (low - low_point), high_point + wider * (high - high_point)
        return -_join(-low_point, -low, self.aggregate), _join(high_point, high, self.aggregate)


def comparison_count(cells: int) -> int:
    """How many simultaneous statements one max - min needs: every pair of cells, or every cell where these are many."""
    return cells * (cells - 1) // 2 if cells <= MOST_PAIRED_CELLS else cells


def _join(middle: Floats, outer: Floats, how: GapAggregate) -> float:
    """Outer limits of independent terms in one: their mean by MOVER, or the furthest of them.

    With ``a`` the point that each outer limit starts from, mean(a) + sqrt(sum((outer - a)²)) / terms is at least the
    MOVER limit of every choice of one contrast per term.
    """
    if how != "mean":
        return float(outer.max())
    return float(middle.mean() + np.sqrt(((outer - middle) ** 2).sum()) / len(middle))


def _top(cells: Sequence[Proportion], alpha: float, method: str) -> float:
    """Upper limit of one max - min."""
    if len(cells) > MOST_PAIRED_CELLS:
        low, high = cell_limits(cells, alpha / 2, method)
        return float(high.max() - low.min())
    return float(_differences(cells, alpha, method)[1].max())


def _differences(cells: Sequence[Proportion], alpha: float, method: str) -> tuple[Floats, Floats]:
    """Newcombe's limits of every p[i] - p[j]; the diagonal never counts."""
    lower, upper = newcombe(rates(cells), *cell_limits(cells, alpha, method))
    np.fill_diagonal(lower, -np.inf)
    np.fill_diagonal(upper, -np.inf)
    return lower, upper


def _lower(terms: Sequence[Sequence[Proportion]], alpha: float, how: GapAggregate, method: str) -> float:
    contrasts = math.prod((float(len(cells) * (len(cells) - 1)) for cells in terms), start=0.5)  # infinite for 1,000 classes
    if how == "mean" and len(terms) > 1 and alpha / contrasts >= _FINEST:
        return _lower_of_mean(terms, alpha / contrasts, method)
    share = alpha / sum(comparison_count(len(cells)) for cells in terms)
    return aggregate([max(0.0, _bottom(cells, share, method)) for cells in terms], how)


def _bottom(cells: Sequence[Proportion], alpha: float, method: str) -> float:
    """Lower limit of one max - min from statements that each hold at ``alpha``."""
    if len(cells) > MOST_PAIRED_CELLS:
        low, high = cell_limits(cells, alpha, method)
        return float(low.max() - high.min())
    return float(_differences(cells, alpha, method)[0].max())


def _lower_of_mean(terms: Sequence[Sequence[Proportion]], alpha: float, method: str) -> float:
    """MOVER's lower limit of the contrast that takes the largest and the smallest cell of every term."""
    middle, margins = [], []
    for cells in terms:
        p, (low, high) = rates(cells), cell_limits(cells, alpha, method)
        best, worst = int(p.argmax()), int(p.argmin())
        middle.append(p[best] - p[worst])
        margins.append((p[best] - low[best]) ** 2 + (high[worst] - p[worst]) ** 2)
    return float(np.mean(middle) - math.sqrt(sum(margins)) / len(terms))


def possible_extremes(cells: Sequence[Proportion], alpha: float, *, largest: bool, method: str = "wilson") -> Mask:
    """Which cells may truly be the smallest (or the largest): those that no other cell is shown to be below (above).

    The one that truly is stays in with probability 1 - ``alpha`` / 2.
    """
    if len(cells) < 2:
        return np.ones(len(cells), dtype=bool)
    lower, _ = _differences(cells, alpha / (len(cells) - 1), method)
    shown = np.any(lower > 0, axis=0 if largest else 1)
    result: Mask = np.logical_not(shown)
    return result


def _paired_columns(pairs: Sequence[PairedCounts], alpha: float) -> tuple[Floats, Floats]:
    bounds = np.array([cell.raw_limits(alpha) for cell in pairs], dtype=np.float64)
    return bounds[:, 0], bounds[:, 1]


def _across(left: Sequence[Proportion], right: Sequence[Proportion], alpha: float, method: str) -> tuple[Floats, Floats]:
    """MOVER's limits of every left[i] - right[j], which are different samples for i != j."""
    one, other = ((rates(cells), *cell_limits(cells, alpha, method)) for cells in (left, right))
    return newcombe(*one, other)


def _term_moves(
    pairs: Sequence[PairedCounts], sides: Sequence[Sequence[Proportion] | None], search: float, rest: float, method: str
) -> tuple[float, float, float, float]:
    """Smallest change of a contrast with its lower limit, and largest with its upper limit."""
    moved = np.array([cell.estimate for cell in pairs])
    if len(pairs) > MOST_PAIRED_CELLS:
        low, high = _paired_columns(pairs, rest / 2)
        span, reach = float(np.ptp(moved)), float(high.max() - low.min())
        return -span, -reach, span, reach
    lower, upper = newcombe(moved, *_paired_columns(pairs, rest))
    point = moved[:, None] - moved[None, :]
    after, before = (_contrasts(side, len(pairs), search, method) for side in sides)
    return float(point[before].min()), float(lower[before].min()), float(point[after].max()), float(upper[after].max())


def _contrasts(cells: Sequence[Proportion] | None, size: int, alpha: float, method: str) -> Mask:
    """[cells, cells] which pairs may be the truly largest and smallest cell."""
    apart: Mask = ~np.eye(size, dtype=bool)
    if cells is None:
        return apart
    top = possible_extremes(cells, alpha / 2, largest=True, method=method)
    bottom = possible_extremes(cells, alpha / 2, largest=False, method=method)
    found = top[:, None] & bottom[None, :] & apart
    return found if found.any() else apart
