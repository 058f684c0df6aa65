"""Sufficient statistics, and the confidence intervals that follow from them alone."""

from grmu_audit.intervals.combined import estimate, interval

__all__ = [
    "estimate",
    "interval",
]
