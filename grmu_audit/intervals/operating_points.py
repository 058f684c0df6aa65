"""The share of positives above a threshold that is itself estimated: a true-positive rate at a fixed false-positive rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from grmu_audit.intervals.closed_forms import Floats, z_value
from grmu_audit.intervals.proportions import ROUNDING, Proportion
from grmu_audit.intervals.statistic import Limits, Statistic

LEVELS = (0.05, 0.01, 0.001, 0.0001)
"""Errors at which the threshold's own limits are recorded; between them its reach is interpolated."""
_FURTHEST = 12
"""Standard deviations above its mean (plus as many counts) that a count never exceeds at these errors."""


@dataclass(frozen=True)
class RateAtThreshold(Statistic):
    """Share of positives above the threshold that a given share of the negatives lies above, which their sample gives."""

    kind: ClassVar[str] = "rate_at_threshold"
    called: Proportion
    """Positives above the threshold."""
    levels: tuple[float, ...]
    """Two-sided errors, falling."""
    fewest: tuple[float, ...]
    """At each level the share of positives above the threshold's upper limit."""
    most: tuple[float, ...]
    """At each level the share above its lower limit."""

    def defect(self) -> str:
        """Levels that do not fall within (0, 1), or shares that are none or not one for each level."""
        if defect := _level_defect(self.levels, self.fewest, self.most, "shares"):
            return defect
        known = all(-ROUNDING <= share <= 1 + ROUNDING for share in (*self.fewest, *self.most))
        return "" if known else "a share outside [0, 1]"

    @property
    def estimate(self) -> float:
        """The share above the estimated threshold."""
        return self.called.estimate

    def raw_limits(self, alpha: float) -> Limits | None:
        """MOVER of two sources: limits of the share at a known threshold, and the shares at the threshold's limits."""
        found, middle = self.called.limits(alpha), self.estimate
        if found is None:
            return None
        moved = np.abs(np.array([self.fewest, self.most]) - middle)
        down, up = (_margin(alpha, self.levels, reached) for reached in moved)
        return max(0.0, middle - math.hypot(middle - found[0], down)), min(1.0, middle + math.hypot(found[1] - middle, up))

    def scaled(self, factor: float) -> Statistic:
        """The same estimate from ``factor`` times as many samples of both sides."""
        called = self.called.scaled(factor)
        assert isinstance(called, Proportion)
        sides = (_nearer(shares, self.estimate, factor) for shares in (self.fewest, self.most))
        return RateAtThreshold(called, self.levels, *sides)

    def by_method(self, name: str) -> Statistic:
        """Always exact: the shares are near 0."""
        return self


@dataclass(frozen=True)
class AtThreshold(Statistic):
    """A statistic that depends on a threshold, which a sample gives and which may move it either way."""

    kind: ClassVar[str] = "at_threshold"
    known: Statistic
    """The statistic as if the threshold were known."""
    levels: tuple[float, ...]
    """Two-sided errors, falling."""
    lower: tuple[float, ...]
    """At each level the estimate with the threshold at its lower limit."""
    upper: tuple[float, ...]
    """At each level the estimate with the threshold at its upper limit."""

    def defect(self) -> str:
        """Levels that do not fall within (0, 1), or estimates that are not one for each level."""
        return _level_defect(self.levels, self.lower, self.upper, "estimates")

    @property
    def estimate(self) -> float:
        """The estimate at the estimated threshold."""
        return self.known.estimate

    def raw_limits(self, alpha: float) -> Limits | None:
        """MOVER of two sources: limits at a known threshold, and how far the threshold's own limits move the estimate."""
        found, middle = self.known.limits(alpha), self.estimate
        if found is None:
            return None
        moved = np.array([self.lower, self.upper]) - middle
        down, up = (_margin(alpha, self.levels, np.maximum(side.max(axis=0), 0.0)) for side in (-moved, moved))
        return middle - math.hypot(middle - found[0], down), middle + math.hypot(found[1] - middle, up)

    def scaled(self, factor: float) -> AtThreshold:
        """The same estimate from ``factor`` times as many samples of all sides."""
        sides = (_nearer(values, self.estimate, factor) for values in (self.lower, self.upper))
        return AtThreshold(self.known.scaled(factor), self.levels, *sides)


def _level_defect(levels: tuple[float, ...], one: tuple[float, ...], other: tuple[float, ...], what: str) -> str:
    """Why levels and what is known at each cannot be; else nothing."""
    if not levels or not len(levels) == len(one) == len(other):
        return f"{len(levels)} levels with {len(one)} and {len(other)} {what}"
    falling = all(0 < level < 1 for level in levels) and list(levels) == sorted(set(levels), reverse=True)
    return "" if falling else "its levels do not fall within (0, 1)"


def _nearer(values: tuple[float, ...], middle: float, factor: float) -> tuple[float, ...]:
    """The values with their distances to the middle as ``factor`` times as many samples would give them."""
    return tuple(middle + (value - middle) / math.sqrt(factor) for value in values)


def _margin(alpha: float, levels: tuple[float, ...], reached: Floats) -> float:
    """How far an estimate moves with its threshold at ``alpha``: linear in the normal quantile, through 0.

    Args:
        alpha: two-sided error.
        levels: errors at which it is known.
        reached: [levels] how far it moves at each.
    """
    quantiles = np.array([z_value(level) for level in levels])
    z = z_value(alpha)
    if z > quantiles[-1]:
        return float(reached[-1] * z / quantiles[-1])
    return float(np.interp(z, np.append(0.0, quantiles), np.append(0.0, reached)))


@lru_cache(maxsize=1024)
def threshold_ranks(n: float, rate: float, alpha: float) -> tuple[int, int]:
    """Ranks, from the largest, of the two samples between which the threshold of a tail lies with 1 - ``alpha``.

    With X ~ Bin(n, rate) samples truly above it, it lies below the first where X reaches that rank, and above the second
    where X does not.

    Args:
        n: effective samples.
        rate: share of the distribution above the threshold.
        alpha: two-sided error.

    Returns:
        The first and the second rank; 0 where no sample is surely above it.

    Source: order-statistic limits of a quantile, David and Nagaraja (2003), 7.1.

    >>> threshold_ranks(1000, 0.01, 0.05)
    (4, 18)
    """
    from scipy.special import bdtr

    size = max(int(n), 1)
    spread = math.sqrt(size * rate * (1 - rate))
    ranks = np.arange(min(size, int(size * rate + _FURTHEST * (spread + 1))) + 1)  # X is never above these
    fewer: Floats = np.append(0.0, bdtr(ranks[:-1], size, rate))  # P(X < rank)
    return int(ranks[fewer <= alpha / 2][-1]), int(ranks[1 - fewer <= alpha / 2][0]) if 1 - fewer[-1] <= alpha / 2 else size
