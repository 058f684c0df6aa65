"""Estimates with a standard error from replicates: the leave-one-out jackknife, and the mean of per-sample values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.intervals.statistic import Limits, Statistic


def jackknife(value: float, left_out: Floats, *, low: float = -math.inf, high: float = math.inf) -> Statistic:
    """A statistic from an estimate and its value without each of m parts.

    se^2 = (m - 1) / m x sum over parts of (theta_without - their mean)^2, with m - 1 degrees of freedom
    (Tukey 1958; Miller 1974).

    Args:
        value: estimate on everything.
        left_out: [m] estimate without each part.
        low: smallest possible value.
        high: largest possible value.

    >>> jackknife(2.0, np.array([1.0, 2.0, 3.0]))["se"]
    1.1547005383792515
    """
    known = left_out[np.isfinite(left_out)]
    m = len(known)
    se = math.sqrt((m - 1) / m * float(((known - known.mean()) ** 2).sum())) if m > 1 else math.nan
    return student(value, se, m - 1, low=low, high=high)


def mean_of(values: Floats, subject: np.ndarray[Any, np.dtype[np.int64]] | None, **bounds: float) -> Statistic:
    """The mean of per-sample values; persons instead of samples are counted where they are known.

    Args:
        values: [n].
        subject: [n] person of each value, or None.
        bounds: ``low`` and ``high``, as for ``jackknife``.
    """
    n = len(values)
    if not n:
        return student(math.nan, math.nan, 0, **bounds)
    middle = float(values.mean())
    away = values - middle
    if subject is not None:
        away = np.bincount(np.unique(subject, return_inverse=True)[1], weights=away).astype(np.float64)
    m = len(away)
    se = math.sqrt(m / (m - 1) * float((away**2).sum())) / n if m > 1 else math.nan
    return student(middle, se, m - 1, **bounds)


def student(value: float, se: float, df: int, *, low: float = -math.inf, high: float = math.inf) -> Statistic:
    """A statistic of kind ``student``: value, standard error, degrees of freedom, and the range (None where it is open)."""
    ends = {"low": low if math.isfinite(low) else None, "high": high if math.isfinite(high) else None}
    return {"kind": "student", "value": value, "se": se if math.isfinite(se) else None, "df": df, **ends}


def student_limits(s: Statistic, alpha: float) -> Limits | None:
    """Value +- t x se, cut to the range; None without a standard error."""
    if s["se"] is None or not s["df"] >= 1:
        return None
    from scipy import stats

    half = float(stats.t.ppf(1 - alpha / 2, s["df"])) * float(s["se"])
    low = -math.inf if s["low"] is None else float(s["low"])
    high = math.inf if s["high"] is None else float(s["high"])
    return max(low, float(s["value"]) - half), min(high, float(s["value"]) + half)
