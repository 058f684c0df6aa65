"""Limits of max - min over cells, and of the change of a minimum or of a max - min between two models.

All rest on one argument.  A max - min, or a mean of several, is the largest of many contrasts.  Its upper limit can only be
missed if the limit of the one contrast that is truly the largest is, so it needs no correction for their number; its
lower limit does (Bonferroni).  Near zero the upper limit cannot be missed at all and the lower one may use nearly all of
``alpha`` (four fifths, since Newcombe's limits are a little short); far from zero each unordered pair can be missed in one
direction only, so that less than ``alpha / 2`` is lost below and ``alpha / 2`` above.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from grmu_audit.intervals.closed_forms import Floats, newcombe
from grmu_audit.intervals.proportions import cell_limits, filled, paired_estimate, paired_limits, shares
from grmu_audit.intervals.statistic import Limits, Statistic, aggregate

MOST_PAIRED_CELLS = 64
"""Cells up to which every pair is looked at; more are bounded by their largest and smallest limits."""
BELOW = 0.8
"""Share of the error that the lower limit of a max - min may use at zero."""
_FINEST = 1e-10
_SEARCH = 0.2
Mask = npt.NDArray[np.bool_]


def pieces(cells: int) -> int:
    """How many simultaneous statements one max - min needs: every pair of cells, or every cell where these are many."""
    return cells * (cells - 1) // 2 if cells <= MOST_PAIRED_CELLS else cells


def gap_limits(s: Statistic, alpha: float) -> Limits | None:
    """Limits of the mean or maximum over terms of max - min over cells; None where a term has fewer than two cells."""
    terms, method = [filled(cells) for cells in s["terms"]], s.get("method", "wilson")
    if not terms or any(len(cells) < 2 for cells in terms):
        return None
    tops = np.array([_top(cells, alpha, method) for cells in terms])
    spans = np.array([np.ptp(shares(cells)) for cells in terms])
    low = _lower(terms, alpha * BELOW, s["aggregate"], method)
    return max(0.0, low), min(1.0, _joined(spans, tops, s["aggregate"]))


def _joined(middle: Floats, outer: Floats, how: str) -> float:
    """Outer limits of independent terms in one: their mean by MOVER, or the furthest of them.

    With ``a`` the point that each outer limit starts from, mean(a) + sqrt(sum((outer - a)²)) / terms is at least the
    MOVER limit of every choice of one contrast per term.
    """
    if how != "mean":
        return float(outer.max())
    return float(middle.mean() + np.sqrt(((outer - middle) ** 2).sum()) / len(middle))


def _top(cells: Sequence[Statistic], alpha: float, method: str) -> float:
    """Upper limit of one max - min."""
    if len(cells) > MOST_PAIRED_CELLS:
        low, high = cell_limits(cells, alpha / 2, method)
        return float(high.max() - low.min())
    return float(_differences(cells, alpha, method)[1].max())


def _differences(cells: Sequence[Statistic], alpha: float, method: str) -> tuple[Floats, Floats]:
    """Newcombe's limits of every p[i] - p[j]; the diagonal never counts."""
    lower, upper = newcombe(shares(cells), *cell_limits(cells, alpha, method))
    np.fill_diagonal(lower, -np.inf)
    np.fill_diagonal(upper, -np.inf)
    return lower, upper


def _lower(terms: Sequence[Sequence[Statistic]], alpha: float, how: str, method: str) -> float:
    contrasts = math.prod(len(cells) * (len(cells) - 1) for cells in terms) / 2
    if how == "mean" and len(terms) > 1 and alpha / contrasts >= _FINEST:
        return _lower_of_mean(terms, alpha / contrasts, method)
    share = alpha / sum(pieces(len(cells)) for cells in terms)
    return aggregate([max(0.0, _bottom(cells, share, method)) for cells in terms], how)


def _bottom(cells: Sequence[Statistic], alpha: float, method: str) -> float:
    """Lower limit of one max - min from statements that each hold at ``alpha``."""
    if len(cells) > MOST_PAIRED_CELLS:
        low, high = cell_limits(cells, alpha, method)
        return float(low.max() - high.min())
    return float(_differences(cells, alpha, method)[0].max())


def _lower_of_mean(terms: Sequence[Sequence[Statistic]], alpha: float, method: str) -> float:
    """MOVER's lower limit of the contrast that takes the largest and the smallest cell of every term."""
    middle, margins = [], []
    for cells in terms:
        p, (low, high) = shares(cells), cell_limits(cells, alpha, method)
        best, worst = int(p.argmax()), int(p.argmin())
        middle.append(p[best] - p[worst])
        margins.append((p[best] - low[best]) ** 2 + (high[worst] - p[worst]) ** 2)
    return float(np.mean(middle) - math.sqrt(sum(margins)) / len(terms))


# changes --------------------------------------------------------------------------------------------------------------


def plausible(cells: Sequence[Statistic], alpha: float, *, largest: bool, method: str = "wilson") -> Mask:
    """Which cells may truly be the smallest (or the largest): those that no other cell is shown to be below (above).

    The one that truly is stays in with probability 1 - ``alpha`` / 2.
    """
    if len(cells) < 2:
        return np.ones(len(cells), dtype=bool)
    lower, _ = _differences(cells, alpha / (len(cells) - 1), method)
    shown = np.any(lower > 0, axis=0 if largest else 1)
    result: Mask = np.logical_not(shown)
    return result


def minimum_change_limits(s: Statistic, alpha: float) -> Limits | None:
    """Limits of min(candidate) - min(other) over the same cells.

    With c the cell that is truly the candidate's smallest, the change is the largest over h of candidate[c] - other[h].
    So the lower limit is the smallest, over the cells that may be c, of the largest limit over h (simultaneous over h;
    h = c is a paired comparison and gets half of the error).  The upper limit mirrors it.
    """
    pairs = filled(s["terms"][0]) if s["terms"] else []
    left, right = filled(s["left"]["cells"]), filled(s["right"]["cells"])
    if not pairs:
        return None
    method = s["left"].get("method", "wilson")
    if not 1 < len(pairs) <= MOST_PAIRED_CELLS or not len(left) == len(right) == len(pairs):
        low, high = _paired_columns(pairs, alpha)
        return float(low.min()), float(high.max())
    search, rest = alpha * _SEARCH, alpha * (1 - _SEARCH)
    lower, upper = _across(left, right, rest / (2 * (len(pairs) - 1)), method)
    low, high = _paired_columns(pairs, rest / 2)
    np.fill_diagonal(lower, low)
    np.fill_diagonal(upper, high)
    own = plausible(left, search, largest=False, method=method)
    others = plausible(right, search, largest=False, method=method)
    return float(lower.max(axis=1)[own].min()), float(upper.min(axis=0)[others].max())


def _paired_columns(pairs: Sequence[Statistic], alpha: float) -> tuple[Floats, Floats]:
    bounds = np.array([paired_limits(cell, alpha) for cell in pairs], dtype=np.float64)
    return bounds[:, 0], bounds[:, 1]


def _across(left: Sequence[Statistic], right: Sequence[Statistic], alpha: float, method: str) -> tuple[Floats, Floats]:
    """MOVER's limits of every left[i] - right[j], which are different samples for i != j."""
    (p, q), (a, b) = (shares(left), shares(right)), (cell_limits(left, alpha, method), cell_limits(right, alpha, method))
    difference = p[:, None] - q[None, :]
    down = np.hypot((p - a[0])[:, None], (b[1] - q)[None, :])
    up = np.hypot((a[1] - p)[:, None], (q - b[0])[None, :])
    return difference - down, difference + up


def gap_moved_limits(s: Statistic, alpha: float) -> Limits | None:
    """Limits of the change of a gap from the paired changes of its cells.

    With (i, j) the candidate's truly largest and smallest cell, the change is at most change[i] - change[j]; with those
    of the other model it is at least that.  Only cells that may be the largest or smallest are looked at.
    """
    terms = [filled(cells) for cells in s["terms"]]
    if not terms or any(len(cells) < 2 for cells in terms):
        return None
    sides = [[filled(cells) for cells in s[side].get("terms", [])] for side in ("left", "right")]
    if [[len(c) for c in side] for side in sides] != [[len(c) for c in terms]] * 2:
        sides = [[], []]
    search, rest = alpha * _SEARCH / len(terms), alpha * (1 - _SEARCH)
    method = s["left"].get("method", "wilson")
    found = [
        _term_moves(pairs, [side[i] if side else None for side in sides], search, rest, method) for i, pairs in enumerate(terms)
    ]
    low_point, low, high_point, high = (np.array(column) for column in zip(*found, strict=True))
    return -_joined(-low_point, -low, s["aggregate"]), _joined(high_point, high, s["aggregate"])


def _term_moves(
    pairs: Sequence[Statistic], sides: Sequence[Sequence[Statistic] | None], search: float, rest: float, method: str
) -> tuple[float, float, float, float]:
    """Smallest change of a contrast with its lower limit, and largest with its upper limit."""
    moved = np.array([paired_estimate(cell) for cell in pairs])
    if len(pairs) > MOST_PAIRED_CELLS:
        low, high = _paired_columns(pairs, rest / 2)
        span, reach = float(np.ptp(moved)), float(high.max() - low.min())
        return -span, -reach, span, reach
    lower, upper = newcombe(moved, *_paired_columns(pairs, rest))
    point = moved[:, None] - moved[None, :]
    after, before = (_contrasts(side, len(pairs), search, method) for side in sides)
    return float(point[before].min()), float(lower[before].min()), float(point[after].max()), float(upper[after].max())


def _contrasts(cells: Sequence[Statistic] | None, size: int, alpha: float, method: str) -> Mask:
    """[cells, cells] which pairs may be the truly largest and smallest cell."""
    apart: Mask = ~np.eye(size, dtype=bool)
    if cells is None:
        return apart
    top = plausible(cells, alpha / 2, largest=True, method=method)
    bottom = plausible(cells, alpha / 2, largest=False, method=method)
    found = top[:, None] & bottom[None, :] & apart
    return found if found.any() else apart
