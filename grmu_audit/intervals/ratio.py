"""Ratios: of two means that are measured on the same samples, and of the smallest to the largest of several proportions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import permutations
from typing import ClassVar

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.intervals.areas import t_scaled_error
from grmu_audit.intervals.closed_forms import z_value
from grmu_audit.intervals.gaps import LOWER_TAIL_SHARE
from grmu_audit.intervals.proportions import Proportion, cell_limits, non_empty, rates
from grmu_audit.intervals.statistic import Limits, Statistic, aggregate, difference_limits


@dataclass(frozen=True)
class Ratio(Statistic):
    """Numerator over denominator, both normal, with Fieller's limits.

    With N, D and their (co)variances v_N, v_D, c the limits at quantile z are the roots of
    (N - r D)² = z² (v_N - 2 r c + r² v_D); where D is not away from 0 at that quantile (D² <= z² v_D) no bounded set of
    ratios fits, and there are none.  With few people z is Student's t.

    Source: Fieller (1954), J. R. Stat. Soc. B 16.

    >>> low, high = Ratio(-1.0, -2.0, 0.01, 0.04, 0.0, 100).limits(0.05)
    >>> round(low, 3), round(high, 3)
    (0.376, 0.665)
    >>> Ratio(-1.0, -0.1, 0.01, 0.04, 0.0, 100).limits(0.05) is None
    True
    """

    kind: ClassVar[str] = "ratio"
    numerator: float
    """N."""
    denominator: float
    """D."""
    numerator_variance: float
    """v_N, the square of N's standard error."""
    denominator_variance: float
    """v_D."""
    covariance: float
    """c, of N and D."""
    persons: float
    """People (or samples, where each is its own person) that the variances were estimated from."""

    def __post_init__(self) -> None:
        if min(self.numerator_variance, self.denominator_variance) < 0:
            raise InputError("a ratio has a variance below 0")

    @property
    def estimate(self) -> float:
        """N / D; NaN where D is 0."""
        return self.numerator / self.denominator if self.denominator else math.nan

    def raw_limits(self, alpha: float) -> Limits | None:
        """Fieller's limits; None where the denominator is not surely away from 0."""
        z2 = (z_value(alpha) * t_scaled_error(1.0, self.persons, alpha)) ** 2
        square = self.denominator**2 - z2 * self.denominator_variance
        if not square > 0:
            return None
        middle = self.numerator * self.denominator - z2 * self.covariance
        root = math.sqrt(max(middle**2 - square * (self.numerator**2 - z2 * self.numerator_variance), 0.0))
        return (middle - root) / square, (middle + root) / square

    def scaled(self, factor: float) -> Ratio:
        """The same means from ``factor`` times as many people."""
        return replace(
            self,
            numerator_variance=self.numerator_variance / factor,
            denominator_variance=self.denominator_variance / factor,
            covariance=self.covariance / factor,
            persons=self.persons * factor,
        )

    @classmethod
    def of(cls, means: tuple[float, float], influences: np.ndarray, persons: float) -> Ratio:
        """The ratio of two means from the influence of every person on each.

        Args:
            means: numerator and denominator.
            influences: [people, 2] influence on numerator and denominator; squares sum to the variances.
            persons: people that the variances are estimated from.
        """
        moments = influences.T @ influences
        return cls(*means, float(moments[0, 0]), float(moments[1, 1]), float(moments[0, 1]), persons)


@dataclass(frozen=True)
class RateRatio(Statistic):
    """Smallest over largest of several proportions that rest on separate samples.

    It is the smallest of the ratios of all ordered pairs.  Its lower limit can only be missed if that of the truly smallest ratio
    is, so that it needs no correction for their number; its upper limit does, and near 1 it may use most of ``alpha`` (as a
    ``Gap`` near 0).  Limits of one ratio: MOVER from the limits of both proportions (Donner and Zou 2012, Stat. Methods Med.
    Res. 21).

    >>> found = RateRatio((Proportion(30, 100), Proportion(60, 100)))
    >>> low, high = found.limits(0.05)
    >>> found.estimate, round(low, 3), round(high, 3)
    (0.5, 0.355, 0.707)
    """

    kind: ClassVar[str] = "rate_ratio"
    cells: tuple[Proportion, ...]
    """The proportions."""

    def defect(self) -> str:
        """Fewer than two proportions."""
        return "" if len(self.cells) > 1 else "it has fewer than two proportions"

    @property
    def estimate(self) -> float:
        """Smallest over largest share; NaN where all are 0 or fewer than two cells hold samples."""
        shares = rates(self.cells)
        return float(shares.min() / shares.max()) if len(shares) > 1 and shares.max() > 0 else math.nan

    def raw_limits(self, alpha: float) -> Limits | None:
        """See the class; None where all shares are 0 or fewer than two cells hold samples."""
        cells = non_empty(self.cells)
        if len(cells) < 2 or not rates(cells).max() > 0:
            return None
        method, pairs = cells[0].method, len(cells) * (len(cells) - 1) / 2
        low, _ = _ratio_limits(rates(cells), *cell_limits(cells, alpha, method))
        _, high = _ratio_limits(rates(cells), *cell_limits(cells, alpha * LOWER_TAIL_SHARE / pairs, method))
        return max(0.0, float(np.nanmin(low))), min(1.0, float(np.nanmin(high)))


def _ratio_limits(share: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[cells, cells] limits of share[i] / share[j] from the limits of both; the diagonal never counts."""
    one, one_low, one_high = (values[:, None] for values in (share, low, high))
    other, other_low, other_high = (values[None, :] for values in (share, low, high))
    product = one * other
    with np.errstate(divide="ignore", invalid="ignore"):
        under = np.maximum(product**2 - one_low * other_high * (2 * one - one_low) * (2 * other - other_high), 0.0)
        over = np.maximum(product**2 - one_high * other_low * (2 * one - one_high) * (2 * other - other_low), 0.0)
        lower = (product - np.sqrt(under)) / (other_high * (2 * other - other_high))
        upper = np.where(other_low > 0, (product + np.sqrt(over)) / (other_low * (2 * other - other_low)), np.inf)
    # where the denominator's upper limit is above twice its share, the formula has no root: the limits of both sides bound it
    plain = one_low / other_high
    lower = np.where((2 * other > other_high) & np.isfinite(lower), np.maximum(lower, 0.0), plain)
    lower = np.minimum(lower, np.where(other > 0, one / np.maximum(other, 1e-300), np.inf))
    np.fill_diagonal(lower, np.nan)
    np.fill_diagonal(upper, np.nan)
    return lower, upper


@dataclass(frozen=True)
class Spread(Statistic):
    """Largest minus smallest of several means that rest on separate samples; limits as a ``Gap``'s, by MOVER."""

    kind: ClassVar[str] = "spread"
    terms: tuple[Statistic, ...]
    """The means."""

    def defect(self) -> str:
        """Fewer than two means."""
        return "" if len(self.terms) > 1 else "it has fewer than two means"

    @property
    def estimate(self) -> float:
        """Largest minus smallest; NaN where one mean is."""
        found = [term.estimate for term in self.terms]
        return aggregate(found, "max") - aggregate(found, "min")

    def raw_limits(self, alpha: float) -> Limits | None:
        """The largest upper limit of a difference at ``alpha``, the largest lower one at its share; None where one is open."""
        count = len(self.terms)
        shares = alpha, alpha * LOWER_TAIL_SHARE / (count * (count - 1) / 2)
        pairs = list(permutations(self.terms, 2))
        tops, bottoms = ([difference_limits(*pair, share) for pair in pairs] for share in shares)
        known = [(low, high) for low, high in zip(bottoms, tops, strict=True) if low is not None and high is not None]
        if len(known) < len(pairs):
            return None
        return max(0.0, *(low[0] for low, _ in known)), max(high[1] for _, high in known)
