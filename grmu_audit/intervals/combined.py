"""Statistics that are combined from others: differences, closeness, means, a share of several gains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.intervals.proportions import PairedCounts
from grmu_audit.intervals.statistic import Limits, Statistic, aggregate, difference_limits, simultaneous_limits


@dataclass(frozen=True)
class Difference(Statistic):
    """Left minus right, which rest on separate samples."""

    kind: ClassVar[str] = "difference"
    left: Statistic
    """What is subtracted from."""
    right: Statistic
    """What is subtracted."""

    @property
    def estimate(self) -> float:
        """Left minus right."""
        return self.left.estimate - self.right.estimate

    def raw_limits(self, alpha: float) -> Limits | None:
        """MOVER's limits."""
        return difference_limits(self.left, self.right, alpha)


@dataclass(frozen=True)
class SharedDifference(Difference):
    """Left minus right, which rest on the same samples in a way that is not known."""

    kind: ClassVar[str] = "difference_box"

    def raw_limits(self, alpha: float) -> Limits | None:
        """From simultaneous limits of both."""
        return simultaneous_limits(self.left, self.right, alpha)


@dataclass(frozen=True)
class Closeness(Statistic):
    """1 - abs(difference) of every term, averaged or multiplied."""

    kind: ClassVar[str] = "closeness"
    aggregate: Literal["mean", "product"]
    """Aggregation of the terms."""
    terms: tuple[Statistic, ...]
    """The differences."""

    def defect(self) -> str:
        """No term."""
        return "" if self.terms else "it has no term"

    @property
    def estimate(self) -> float:
        """In [0, 1]; 1 where no term differs from 0."""
        return aggregate([1 - abs(term.estimate) for term in self.terms], self.aggregate)

    def raw_limits(self, alpha: float) -> Limits | None:
        """From simultaneous limits of all terms."""
        found = _simultaneous(self.terms, alpha)
        if found is None:
            return None
        folded = [abs_limits(*limits) for limits in found]
        low, high = [max(0.0, 1 - f[1]) for f in folded], [max(0.0, 1 - f[0]) for f in folded]
        return aggregate(low, self.aggregate), aggregate(high, self.aggregate)


@dataclass(frozen=True)
class Mean(Statistic):
    """The mean of several statistics, whatever samples they share."""

    kind: ClassVar[str] = "mean"
    terms: tuple[Statistic, ...]
    """What is averaged."""

    def defect(self) -> str:
        """No term."""
        return "" if self.terms else "it has no term"

    @property
    def estimate(self) -> float:
        """The mean of the estimates."""
        return aggregate([term.estimate for term in self.terms], "mean")

    def raw_limits(self, alpha: float) -> Limits | None:
        """From simultaneous limits of all terms."""
        found = _simultaneous(self.terms, alpha)
        if found is None:
            return None
        return aggregate([low for low, _ in found], "mean"), aggregate([high for _, high in found], "mean")


@dataclass(frozen=True)
class Least(Statistic):
    """The smallest of several statistics, whatever samples they share."""

    kind: ClassVar[str] = "least"
    terms: tuple[Statistic, ...]
    """Those that it is the smallest of."""

    def defect(self) -> str:
        """No term."""
        return "" if self.terms else "it has no term"

    @property
    def estimate(self) -> float:
        """The smallest estimate."""
        return aggregate([term.estimate for term in self.terms], "min")

    def raw_limits(self, alpha: float) -> Limits | None:
        """Lower: the smallest lower limit at ``alpha`` itself, which is missed only if that of the term that is truly the
        smallest is; upper: the smallest upper limit, simultaneous over the terms."""
        single, together = _limits_of_all(self.terms, alpha), _simultaneous(self.terms, alpha)
        if single is None or together is None:
            return None
        return min(low for low, _ in single), min(high for _, high in together)


@dataclass(frozen=True)
class Largest(Statistic):
    """The largest of several statistics, whatever samples they share."""

    kind: ClassVar[str] = "largest"
    terms: tuple[Statistic, ...]
    """Those that it is the largest of."""

    def defect(self) -> str:
        """No term."""
        return "" if self.terms else "it has no term"

    @property
    def estimate(self) -> float:
        """The largest estimate."""
        return aggregate([term.estimate for term in self.terms], "max")

    def raw_limits(self, alpha: float) -> Limits | None:
        """Upper: the largest upper limit at ``alpha`` itself, which is missed only if that of the term that is truly the
        largest is; lower: the largest lower limit, simultaneous over the terms."""
        single, together = _limits_of_all(self.terms, alpha), _simultaneous(self.terms, alpha)
        if single is None or together is None:
            return None
        return max(low for low, _ in together), max(high for _, high in single)


@dataclass(frozen=True)
class ShareOfGain(Statistic):
    """Share of the sum of all gains that one cell has; a loss counts as no gain."""

    kind: ClassVar[str] = "share_of_gain"
    cells: tuple[PairedCounts, ...]
    """Changes of every cell."""
    chosen: int
    """Position of the cell whose share it is."""

    def __post_init__(self) -> None:
        if not 0 <= self.chosen < len(self.cells):
            raise InputError(f"share_of_gain.chosen is {self.chosen}, which is none of {len(self.cells)} cells")

    @property
    def estimate(self) -> float:
        """In [0, 1]; NaN where no cell gained."""
        gains = np.maximum([cell.estimate for cell in self.cells], 0.0)
        total = float(gains.sum())
        return float(gains[self.chosen]) / total if total > 0 else math.nan

    def raw_limits(self, alpha: float) -> Limits | None:
        """From simultaneous limits of every cell's change: least of the chosen one with most of the others, and the reverse."""
        bounds = np.array([cell.limits(alpha / len(self.cells)) or (-1.0, 1.0) for cell in self.cells])
        low, high = np.maximum(bounds[:, 0], 0.0), np.maximum(bounds[:, 1], 0.0)
        i = self.chosen
        least, most = low[i] + high.sum() - high[i], high[i] + low.sum() - low[i]
        return float(low[i] / least) if least > 0 else 0.0, float(high[i] / most) if most > 0 else 1.0


def _limits_of_all(terms: Sequence[Statistic], alpha: float) -> list[Limits] | None:
    """Limits of every term at ``alpha``; None without terms, and where one has none."""
    found = [term.limits(alpha) for term in terms]
    known = [limits for limits in found if limits is not None]
    return known if known and len(known) == len(found) else None


def _simultaneous(terms: Sequence[Statistic], alpha: float) -> list[Limits] | None:
    """Limits of every term that all hold at ``alpha`` together (Bonferroni)."""
    return _limits_of_all(terms, alpha / max(len(terms), 1))


def abs_limits(low: float, high: float) -> Limits:
    """Limits of abs(x) for x in [low, high].

    >>> abs_limits(-0.1, 0.3), abs_limits(-0.3, -0.1)
    ((0.0, 0.3), (0.1, 0.3))
    """
    inside = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return inside, max(abs(low), abs(high))
