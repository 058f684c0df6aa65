"""What all statistics share: their form, limits, and how several are aggregated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from grmu_audit.errors import InputError

Statistic = dict[str, Any]
"""A sufficient statistic; see the table of this module."""
Limits = tuple[float, float]
"""Lower and upper limit."""


def aggregate(values: Sequence[float], how: str) -> float:
    """Mean, maximum, minimum or product; NaN of nothing.

    Raises:
        InputError: another word.

    >>> aggregate([0.5, 0.5], "product")
    0.25
    """
    if not values:
        return math.nan
    rules: dict[str, Callable[[Sequence[float]], float]] = {
        "mean": lambda v: sum(v) / len(v),
        "max": max,
        "min": min,
        "product": math.prod,
    }
    if how not in rules:
        raise InputError(f"unknown aggregate {how!r}: known are {', '.join(sorted(rules))}")
    return float(rules[how](values))
