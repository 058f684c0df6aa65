"""Estimates with a standard error from replicates: the leave-one-out jackknife, per-sample values, repeated runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.intervals.proportions import ROUNDING, Persons
from grmu_audit.intervals.statistic import Limits, Statistic


@dataclass(frozen=True)
class Replicated(Statistic):
    """A value with its standard error, degrees of freedom and range."""

    kind: ClassVar[str] = "student"
    value: float
    """The estimate."""
    se: float | None
    """Its standard error; None where there are too few replicates."""
    df: int
    """Degrees of freedom: replicates minus one."""
    low: float | None = None
    """Smallest possible value; None where it is open."""
    high: float | None = None
    """Largest possible value; None where it is open."""

    @classmethod
    def jackknife(cls, value: float, left_out: Floats, *, low: float | None = None, high: float | None = None) -> Replicated:
        """From an estimate and its value without each of m parts.

        se^2 = (m - 1) / m x sum over parts of (theta_without - their mean)^2, with m - 1 degrees of freedom
        (Tukey 1958; Miller 1974).

        Args:
            value: estimate on everything.
            left_out: [m] estimate without each part.
            low: smallest possible value.
            high: largest possible value.

        >>> Replicated.jackknife(2.0, np.array([1.0, 2.0, 3.0])).se
        1.1547005383792515
        """
        known = left_out[np.isfinite(left_out)]
        m = len(known)
        se = math.sqrt((m - 1) / m * float(((known - known.mean()) ** 2).sum())) if m > 1 else math.nan
        return cls(value, _finite(se), m - 1, low, high)

    @classmethod
    def of_samples(
        cls, values: Floats, person: Persons = None, *, low: float | None = None, high: float | None = None
    ) -> Replicated:
        """The mean of per-sample values; people instead of samples are the replicates where they are known.

        Args:
            values: [n].
            person: [n] person of each value, or None.
            low: smallest possible value.
            high: largest possible value.
        """
        n = len(values)
        if not n:
            return cls(math.nan, None, 0, low, high)
        middle = float(values.mean())
        away = values - middle
        if person is not None:
            away = np.bincount(np.unique(person, return_inverse=True)[1], weights=away).astype(np.float64)
        m = len(away)
        se = math.sqrt(m / (m - 1) * float((away**2).sum())) / n if m > 1 else math.nan
        return cls(middle, _finite(se), m - 1, low, high)

    @classmethod
    def of_runs(cls, values: Floats, *, low: float | None = None, high: float | None = None) -> Replicated:
        """The mean over repeated runs, each of which is a replicate."""
        m = len(values)
        se = float(values.std(ddof=1) / np.sqrt(m)) if m > 1 else math.nan
        return cls(float(values.mean()), _finite(se), m - 1, low, high)

    def defect(self) -> str:
        """A value outside its own range."""
        low, high = (-math.inf if self.low is None else self.low), (math.inf if self.high is None else self.high)
        return "" if low - ROUNDING <= self.value <= high + ROUNDING else f"{self.value:g} outside [{low:g}, {high:g}]"

    @property
    def estimate(self) -> float:
        """The value."""
        return float(self.value)

    def raw_limits(self, alpha: float) -> Limits | None:
        """Value +- t x se, cut to the range; None without a standard error."""
        if self.se is None or not self.df >= 1:
            return None
        from scipy.special import stdtrit

        half = float(stdtrit(self.df, 1 - alpha / 2)) * float(self.se)
        low = -math.inf if self.low is None else float(self.low)
        high = math.inf if self.high is None else float(self.high)
        return max(low, float(self.value) - half), min(high, float(self.value) + half)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
