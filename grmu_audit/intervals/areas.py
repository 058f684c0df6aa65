"""Areas under ROC curves: one, the change between two correlated ones, and the span of several independent ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from grmu_audit.intervals.closed_forms import Floats, exact, logit_limits, newcombe, student_factor, z_value
from grmu_audit.intervals.gaps import LOWER_TAIL_SHARE, comparison_count
from grmu_audit.intervals.proportions import ROUNDING, Proportion, degrees
from grmu_audit.intervals.statistic import Limits, Statistic, difference_limits

NEARLY_ZERO = 1e-9
_SIZES, _COMPARISONS = (5.0, 20.0, 60.0, 100.0), (3.0, 3.5, 3.5, 4.5)
"""Samples of the smaller side, and how many independent comparisons each is taken to be worth at most; linear in between."""
AreaMethod = Literal["logit", "effective"]
_CIRCLE = np.stack([rule(np.linspace(0.0, 2 * math.pi, 128, endpoint=False)) for rule in (np.cos, np.sin)])
"""Points of the unit circle."""


@dataclass(frozen=True)
class Area(Statistic):
    """Area under a ROC curve with its standard error (DeLong)."""

    kind: ClassVar[str] = "auc"
    value: float
    """The area."""
    se: float
    """Its standard error."""
    n1: float
    """Positive samples."""
    n0: float
    """Negative samples."""
    persons: float | None = None
    """Persons that the standard error was estimated from; None where every sample is its own person."""
    method: AreaMethod = "logit"
    """Interval method."""
    degrees: float | None = None
    """Degrees of freedom of the standard error, for ``effective``; None: very many."""

    @property
    def estimate(self) -> float:
        """The area."""
        return float(self.value)

    def defect(self) -> str:
        """An area outside [0, 1]."""
        return "" if -ROUNDING <= self.value <= 1 + ROUNDING else f"an area of {self.value:g}"

    def by_method(self, name: str) -> Area:
        """The same: the methods of proportions are none of an area."""
        return self

    def raw_limits(self, alpha: float) -> Limits | None:
        """Limits of the method.

        ``effective``: Clopper and Pearson's limits of ``value`` x m correct out of m = value (1 - value) / se², the number of
        independent comparisons that would be as uncertain, times (z / t)², and at most ``most_comparisons``: the standard error
        of a few samples near 1 is often far too small.  ``logit``: value and standard error on the logit scale; for a degenerate
        curve Wilson limits with the smaller side's samples.
        """
        return self._effective_limits(alpha) if self.method == "effective" else self._logit_limits(alpha)

    def _effective_limits(self, alpha: float) -> Limits | None:
        fewer = min(self.n1, self.n0)
        if not fewer > 0:
            return None
        value, most = float(self.value), most_comparisons(fewer)
        known = np.array([math.inf if self.degrees is None else float(self.degrees)])
        factor = float(student_factor(alpha, known)[0])
        inside = self.se > NEARLY_ZERO and NEARLY_ZERO < value < 1 - NEARLY_ZERO
        comparisons = min(value * (1 - value) / self.se**2 * factor, most) if inside else most
        low, high = exact(np.array([value * comparisons]), np.array([comparisons]), alpha)
        return float(low[0]), float(high[0])

    def _logit_limits(self, alpha: float) -> Limits | None:
        value, fewer = float(self.value), min(self.n1, self.n0)
        if not fewer > 0:
            return None
        se = t_scaled_error(self.se, self.persons, alpha)
        if NEARLY_ZERO < value < 1 - NEARLY_ZERO and se > NEARLY_ZERO:
            return logit_limits(value, se, alpha)
        return Proportion(value * fewer, fewer).raw_limits(alpha)


@dataclass(frozen=True)
class AreaChange(Statistic):
    """Area of the candidate minus the other model's on the same samples."""

    kind: ClassVar[str] = "auc_change"
    left: Area
    """The candidate's."""
    right: Area
    """The other model's."""
    se: float
    """Standard error of the difference, from paired influences."""
    persons: float | None = None
    """Persons that it was estimated from; None where every sample is its own person."""
    method: AreaMethod = "logit"
    """Interval method; ``logit``, a normal interval, as before areas near 1 were measured."""
    degrees: float | None = None
    """Degrees of freedom of the standard error, for ``effective``; None: very many."""

    @property
    def estimate(self) -> float:
        """Left minus right."""
        return self.left.estimate - self.right.estimate

    def by_method(self, name: str) -> AreaChange:
        """The same: the methods of proportions are none of an area."""
        return self

    def raw_limits(self, alpha: float) -> Limits | None:
        """Limits within [-1, 1].

        ``effective``: the wider, to either side, of Student's limits of the difference and of those of both areas together.
        There the areas are taken to lie, as logits, in an ellipse around them whose half-axes, to each side, are the distances to
        the areas' own limits at ``alpha``, and whose correlation is that of the two areas, (se1² + se2² - se²) / (2 se1 se2),
        or 0 where one of them is not known; the limits are the smallest and the largest difference in it.  Student's limits
        alone cover 80 % where one of two areas near 1 is truly lower and 5 forget samples happen not to show it; the ellipse
        alone 88 % where one outlier among 20 is all that makes the areas uncertain.  ``logit``: normal limits, with t / z where
        there were few people; those of separate samples where the standard error is 0.
        """
        if self.method == "effective":
            return self._joint_limits(alpha)
        if not self.se > NEARLY_ZERO:
            return difference_limits(self.left, self.right, alpha)
        half = z_value(alpha) * t_scaled_error(self.se, self.persons, alpha)
        return max(self.estimate - half, -1.0), min(self.estimate + half, 1.0)

    def _joint_limits(self, alpha: float) -> Limits | None:
        found = self.left.limits(alpha), self.right.limits(alpha)
        if found[0] is None or found[1] is None:
            return None
        one, other = self.left.se, self.right.se
        known = min(one, other) > NEARLY_ZERO
        r = min(max((one**2 + other**2 - self.se**2) / (2 * one * other), -1.0), 1.0) if known else 0.0
        first = _on_axis(self.left, found[0], _CIRCLE[0])
        second = _on_axis(self.right, found[1], r * _CIRCLE[0] + math.sqrt(1 - r * r) * _CIRCLE[1])
        differences = first - second
        known_degrees = np.array([math.inf if self.degrees is None else float(self.degrees)])
        half = z_value(alpha) * self.se / math.sqrt(float(student_factor(alpha, known_degrees)[0]))
        low, high = min(self.estimate - half, float(differences.min())), max(self.estimate + half, float(differences.max()))
        return max(low, -1.0), min(high, 1.0)


def _on_axis(area: Area, limits: Limits, directions: Floats) -> Floats:
    """Areas in the directions: 0 the area itself, -1 and 1 its limits, in between and beyond along the logits."""
    comparisons = most_comparisons(min(area.n1, area.n0))
    middle = (area.value * comparisons + 0.5) / (comparisons + 1)  # whose logit is finite
    low, centre, high = (_logit(x) for x in (min(limits[0], middle), middle, max(limits[1], middle)))
    reach = np.where(directions < 0, centre - low, high - centre)
    return 1 / (1 + np.exp(-(centre + reach * directions)))


def most_comparisons(fewer: float) -> float:
    """Independent comparisons that an area is never taken to be worth more than.

    Chosen by simulated coverage (``docs/coverage.md``): more are too many at areas of 0.9 and 0.95 with scores of the forget set
    twice as spread as the others', fewer make intervals near 1 wider than they need be.

    >>> most_comparisons(5), most_comparisons(100)
    (15.0, 450.0)
    """
    return fewer * float(np.interp(fewer, _SIZES, _COMPARISONS))


def _logit(x: float) -> float:
    x = min(max(x, NEARLY_ZERO), 1 - NEARLY_ZERO)
    return math.log(x) - math.log1p(-x)


@dataclass(frozen=True)
class AreaGap(Statistic):
    """Largest minus smallest of several independent areas."""

    kind: ClassVar[str] = "auc_gap"
    cells: tuple[Area, ...]
    """The areas."""

    @property
    def estimate(self) -> float:
        """Largest minus smallest area; NaN without any."""
        return float(np.ptp([cell.value for cell in self.cells])) if self.cells else math.nan

    def raw_limits(self, alpha: float) -> Limits | None:
        """By the argument of ``intervals.gaps``; None with fewer than two areas."""
        if len(self.cells) < 2:
            return None
        lower = _differences(self.cells, alpha * LOWER_TAIL_SHARE / comparison_count(len(self.cells)))[0]
        upper = _differences(self.cells, alpha)[1]
        return max(0.0, float(lower.max())), min(1.0, float(upper.max()))


def _differences(cells: Sequence[Area], alpha: float) -> tuple[Floats, Floats]:
    values = np.array([cell.value for cell in cells], dtype=np.float64)
    bounds = np.array([cell.raw_limits(alpha) or (0.0, 1.0) for cell in cells])
    return newcombe(values, np.minimum(bounds[:, 0], values), np.maximum(bounds[:, 1], values))


def t_scaled_error(se: float, persons: float | None, alpha: float) -> float:
    """Standard error, times t / z where it was estimated from few people."""
    return float(se) / math.sqrt(float(student_factor(alpha, np.array([degrees(persons)]))[0]))
