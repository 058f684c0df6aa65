"""The ratio of two means that are measured on the same samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.intervals.areas import t_scaled_error
from grmu_audit.intervals.closed_forms import z_value
from grmu_audit.intervals.statistic import Limits, Statistic


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
