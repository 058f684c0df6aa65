"""Limits of gaps and minima over the cells of many draws at once, on arrays [draws, terms, cells]; see ``many_limits``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.intervals import Statistic
from grmu_audit.intervals.closed_forms import exact, student_factor, wilson, z_value
from grmu_audit.intervals.gaps import _FINEST, _MOVED, _SEARCH, LOWER_TAIL_SHARE, comparison_count

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Pair = tuple[Floats, Floats]
"""Lower and upper limits."""
FORMS = ("wilson", "clopper-pearson")
"""Limits of a share before and today; paired counts follow."""


def held(limits: Pair, middle: Floats) -> Pair:
    """Limits that hold the estimates, as ``Statistic.limits`` does."""
    return np.minimum(limits[0], middle), np.maximum(limits[1], middle)


@dataclass(frozen=True)
class Shares:
    """Counts of cells in many draws."""

    k: npt.NDArray[np.int64] | Floats
    """[draws, ..., cells] successes."""
    n: Floats | float
    """Samples of every cell, or one number."""
    form: str
    """One of ``FORMS``."""
    scale: Callable[[float], Floats] | None = None
    """By alpha, what a sample counts for; None: 1, with one number of samples."""

    @classmethod
    def of(cls, cells: Sequence[Any], form: str) -> Shares:
        """From nested proportions of one shape, [draws, ..., cells]."""
        return cls(_table(cells, lambda c: c.k), _table(cells, lambda c: c.n), form, _scale(cells))

    @property
    def p(self) -> Floats:
        """Shares."""
        return self.k / self.n

    def effective(self, alpha: float) -> tuple[Floats, Floats]:
        """Effective counts and samples."""
        scale = np.ones(1) if self.scale is None else self.scale(alpha)
        return np.asarray(self.k * scale, dtype=np.float64), np.broadcast_to(self.n * scale, self.k.shape)

    def limits(self, alpha: float) -> Pair:
        """Limits of every cell."""
        rule, shape = {"wilson": wilson, "clopper-pearson": exact}[self.form], self.k.shape
        if self.scale is not None:
            k, n = self.effective(alpha)
            low, high = rule(k.ravel(), n.ravel(), alpha)
            return low.reshape(shape), high.reshape(shape)
        numbers, place = np.unique(self.k, return_inverse=True)
        low, high = rule(numbers.astype(np.float64), np.full(len(numbers), float(self.n)), alpha)
        return low[place].reshape(shape), high[place].reshape(shape)


def _table(cells: Sequence[Any], of: Callable[[Any], float | None]) -> Floats:
    """A number of every statistic in nested sequences."""

    def numbers(item: Any) -> Any:
        return of(item) if isinstance(item, Statistic) else [numbers(inner) for inner in item]

    return np.array(numbers(cells), dtype=np.float64)


def _scale(cells: Sequence[Any]) -> Callable[[float], Floats]:
    deff, degrees = _table(cells, lambda c: c.deff), _table(cells, lambda c: math.inf if c.persons is None else c.persons - 1.0)

    def scale(alpha: float) -> Floats:
        known, place = np.unique(degrees, return_inverse=True)
        return student_factor(alpha, known)[place].reshape(deff.shape) / deff

    return scale


@dataclass(frozen=True)
class Moves:
    """Paired counts of cells in many draws."""

    gained: Shares
    """Only the candidate is right."""
    lost: Shares
    """Only the other model is."""
    form: str
    """One of ``FORMS``: Bonett and Price's limits go with ``wilson``."""

    @classmethod
    def of(cls, cells: Sequence[Any], form: str) -> Moves:
        """From nested paired counts of one shape."""
        n, scale = _table(cells, lambda c: c.n), _scale(cells)
        gained, lost = _table(cells, lambda c: c.only_candidate), _table(cells, lambda c: c.only_other)
        return cls(Shares(gained, n, "clopper-pearson", scale), Shares(lost, n, "clopper-pearson", scale), form)

    @property
    def p(self) -> Floats:
        """Changes."""
        return self.gained.p - self.lost.p

    def limits(self, alpha: float) -> Pair:
        """Limits of every change."""
        return (self._adjusted if self.form == "wilson" else self._exact)(alpha)

    def _adjusted(self, alpha: float) -> Pair:
        z = z_value(alpha)
        c, ((gained, n), (lost, _)) = max(1.0, z * z / 4), (side.effective(alpha) for side in (self.gained, self.lost))
        first, second = (gained + c) / (n + 2 * c), (lost + c) / (n + 2 * c)
        centre = first - second
        half = z * np.sqrt(np.maximum(first + second - centre**2, 0.0) / (n + 2 * c))
        return np.maximum(np.minimum(centre - half, self.p), -1.0), np.minimum(np.maximum(centre + half, self.p), 1.0)

    def _exact(self, alpha: float) -> Pair:
        (p, low, high), (q, other_low, other_high) = ((s.p, *s.limits(alpha)) for s in (self.gained, self.lost))
        counts = [side.effective(alpha) for side in (self.gained, self.lost)]
        odds = [(k + 0.5) / np.maximum(n - k + 0.5, 0.5) for k, n in counts]
        r = -np.minimum(np.sqrt(odds[0] * odds[1]), 1.0)
        a, b, c, d = p - low, other_high - q, high - p, q - other_low
        down, up = np.sqrt(a * a + b * b - 2 * r * a * b), np.sqrt(c * c + d * d - 2 * r * c * d)
        return np.maximum(p - q - down, -1.0), np.minimum(p - q + up, 1.0)


def gap_limits(cells: Shares, alpha: float, dependence: Floats | float = 1.0) -> Pair:
    """Limits of ``intervals.Gap`` over cells [draws, terms, cells]; the mean over the terms."""
    p, (terms, size) = cells.p, cells.k.shape[1:]
    span = np.ptp(p, axis=2)
    middle, alpha_low = span.mean(axis=1), alpha * LOWER_TAIL_SHARE
    high = _mean_of_outer(span, _differences(cells, alpha)[1].max(axis=(2, 3)))
    contrasts = 0.5 * float(size * (size - 1)) ** terms
    if terms > 1 and alpha_low / contrasts >= _FINEST:
        low = _lower_of_mean(cells, alpha_low / contrasts)
    else:
        low = np.maximum(_differences(cells, alpha_low / (terms * comparison_count(size)))[0].max(axis=(2, 3)), 0.0).mean(axis=1)
    wider = np.sqrt(dependence)
    low, high = middle - wider * (middle - low), middle + wider * (high - middle)
    return held((np.maximum(low, 0.0), np.minimum(high, 1.0)), middle)


def gap_change_limits(
    sides: tuple[Shares, Shares], moves: Moves, alpha: float, dependence: Sequence[Floats | float] = (1.0, 1.0, 1.0)
) -> Pair:
    """Limits of ``intervals.GapChange`` over cells [draws, terms, cells]; dependences of both sides and of the changes."""
    one, other = (gap_limits(side, alpha * (1 - _MOVED) / 2, more) for side, more in zip(sides, dependence, strict=False))
    share, terms = alpha * _MOVED, moves.p.shape[1]
    point = moves.p[..., :, None] - moves.p[..., None, :]
    lower, upper = _newcombe(moves.p, *moves.limits(share * (1 - _SEARCH)))
    after, before = (_contrasts(side, share * _SEARCH / terms) for side in sides)
    least = [np.where(before, x, np.inf).min(axis=(2, 3)) for x in (point, lower)]
    most = [np.where(after, x, -np.inf).max(axis=(2, 3)) for x in (point, upper)]
    wider = np.broadcast_to(np.sqrt(dependence[2]), len(point))[:, None]
    outer = [x[0] + wider * (x[1] - x[0]) for x in (least, most)]
    low = np.maximum(one[0] - other[1], -_mean_of_outer(-least[0], -outer[0]))
    high = np.minimum(one[1] - other[0], _mean_of_outer(most[0], outer[1]))
    spans = [np.ptp(side.p, axis=2).mean(axis=1) for side in sides]
    return held((low, high), spans[0] - spans[1])


def minimum_limits(cells: Shares, alpha: float) -> Pair:
    """Limits of ``intervals.Minimum`` over cells [draws, cells]."""
    low, high = cells.limits(alpha)[0].min(axis=1), cells.limits(alpha / cells.k.shape[1])[1].min(axis=1)
    return held((low, high), cells.p.min(axis=1))


def minimum_change_limits(sides: tuple[Shares, Shares], moves: Moves, alpha: float) -> Pair:
    """Limits of ``intervals.MinimumChange`` over cells [draws, cells]."""
    (left, right), size = sides, moves.p.shape[1]
    search, rest = alpha * _SEARCH, alpha * (1 - _SEARCH)
    (p, a), (q, b) = ((side.p, side.limits(rest / (2 * (size - 1)))) for side in sides)
    difference = p[:, :, None] - q[:, None, :]
    lower = difference - np.hypot((p - a[0])[:, :, None], (b[1] - q)[:, None, :])
    upper = difference + np.hypot((a[1] - p)[:, :, None], (q - b[0])[:, None, :])
    own = np.arange(size)
    lower[:, own, own], upper[:, own, own] = moves.limits(rest / 2)
    low = np.where(_extremes(left, search, largest=False), lower.max(axis=2), np.inf).min(axis=1)
    high = np.where(_extremes(right, search, largest=False), upper.min(axis=1), -np.inf).max(axis=1)
    return held((low, high), p.min(axis=1) - q.min(axis=1))


def difference_limits(left: Shares, right: Shares, alpha: float) -> Pair:
    """MOVER's limits of left - right [draws]."""
    (p, a), (q, b) = ((side.p, side.limits(alpha)) for side in (left, right))
    return p - q - np.hypot(p - a[0], b[1] - q), p - q + np.hypot(a[1] - p, q - b[0])


def _newcombe(p: Floats, low: Floats, high: Floats) -> Pair:
    """``closed_forms.newcombe`` of every draw."""
    difference = p[..., :, None] - p[..., None, :]
    down = np.hypot((p - low)[..., :, None], (high - p)[..., None, :])
    up = np.hypot((high - p)[..., :, None], (p - low)[..., None, :])
    return difference - down, difference + up


def _differences(cells: Shares, alpha: float) -> Pair:
    lower, upper = _newcombe(cells.p, *cells.limits(alpha))
    own = np.arange(cells.k.shape[-1])
    lower[..., own, own], upper[..., own, own] = -np.inf, -np.inf
    return lower, upper


def _mean_of_outer(middle: Floats, outer: Floats) -> Floats:
    found: Floats = middle.mean(axis=1) + np.sqrt(((outer - middle) ** 2).sum(axis=1)) / middle.shape[1]
    return found


def _lower_of_mean(cells: Shares, alpha: float) -> Floats:
    p, (low, high) = cells.p, cells.limits(alpha)
    best, worst = (rule(p, axis=2)[..., None] for rule in (np.argmax, np.argmin))

    def at(x: Floats, place: npt.NDArray[np.int64]) -> Floats:
        return np.take_along_axis(x, place, axis=2)[..., 0]

    margins = (at(p, best) - at(low, best)) ** 2 + (at(high, worst) - at(p, worst)) ** 2
    found: Floats = (at(p, best) - at(p, worst)).mean(axis=1) - np.sqrt(margins.sum(axis=1)) / p.shape[1]
    return found


def _extremes(cells: Shares, alpha: float, *, largest: bool) -> Mask:
    shown = np.any(_differences(cells, alpha / (cells.k.shape[-1] - 1))[0] > 0, axis=-2 if largest else -1)
    result: Mask = np.logical_not(shown)
    return result


def _contrasts(cells: Shares, alpha: float) -> Mask:
    apart = ~np.eye(cells.k.shape[-1], dtype=bool)
    top, bottom = (_extremes(cells, alpha / 2, largest=largest) for largest in (True, False))
    found = top[..., :, None] & bottom[..., None, :] & apart
    some = np.asarray(found.any(axis=(-2, -1)))
    return np.where(some[..., None, None], found, apart)
