"""Statistics that stand on counts alone: estimate and limits of each kind; ``metrics.intervals`` joins them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.metrics.closed_forms import Floats, logit_limits, newcombe, paired_difference, wilson

Statistic = dict[str, Any]
"""A sufficient statistic; see the table of this module."""

Limits = tuple[float, float]
"""Lower and upper limit."""

PAIRED = ("both", "only_candidate", "only_other", "none")
"""Keys of the four counts of a paired comparison."""

MOST_PAIRED_CELLS = 64

TINY = 1e-9


def proportion(k: float, n: float, deff: float = 1.0) -> Statistic:
    """``k`` of ``n``, with the design effect of clustered samples.

    >>> proportion(3, 4)
    {'kind': 'proportion', 'k': 3, 'n': 4, 'deff': 1.0}
    """
    return {"kind": "proportion", "k": k, "n": n, "deff": deff}


def sample_size(statistic: Statistic) -> float:
    """Samples behind a proportion or a paired comparison.

    >>> sample_size(proportion(3, 4))
    4.0
    """
    return float(statistic["n"] if "n" in statistic else sum(statistic[key] for key in PAIRED))


def _arrays(cells: Sequence[dict[str, float]]) -> tuple[Floats, Floats]:
    """Effective k and n of the cells that hold samples."""
    table = np.array([(c["k"], c["n"], c.get("deff", 1.0)) for c in cells], dtype=np.float64).reshape(-1, 3)
    table = table[table[:, 1] > 0]
    return table[:, 0] / table[:, 2], table[:, 1] / table[:, 2]


def proportion_estimate(s: Statistic) -> float:
    """Share k / n; NaN without samples."""
    return float(s["k"] / s["n"]) if s["n"] > 0 else math.nan


def minimum_estimate(s: Statistic) -> float:
    """Smallest k / n over the cells that hold samples; NaN without any."""
    k, n = _arrays(s["cells"])
    return float((k / n).min()) if len(n) else math.nan


def gap_estimate(s: Statistic) -> float:
    """Span (max - min) of k / n over the cells of each term, aggregated; NaN where a term holds no sample."""
    spans = []
    for cells in s["terms"]:
        k, n = _arrays(cells)
        spans.append(float(np.ptp(k / n)) if len(n) else math.nan)
    return aggregate(spans, s["aggregate"])


def paired_estimate(s: Statistic) -> float:
    """(only candidate - only other) / n; NaN without samples."""
    n = sample_size(s)
    return float((s["only_candidate"] - s["only_other"]) / n) if n > 0 else math.nan


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


def proportion_limits(s: Statistic, alpha: float) -> Limits | None:
    """Wilson limits with n over the design effect."""
    k, n = _arrays([s])
    if not len(n):
        return None
    low, high = wilson(k, n, alpha)
    return float(low[0]), float(high[0])


def minimum_limits(s: Statistic, alpha: float) -> Limits | None:
    """Smallest of the simultaneous lower limits and of the upper limits."""
    k, n = _arrays(s["cells"])
    if not len(n):
        return None
    low, high = wilson(k, n, alpha / len(n))
    return float(low.min()), float(high.min())


def gap_limits(s: Statistic, alpha: float) -> Limits | None:
    """Simultaneous limits of every term's max - min, aggregated; None where a term has fewer than two cells."""
    terms = [_arrays(cells) for cells in s["terms"]]
    if not terms or any(len(n) < 2 for _, n in terms):
        return None
    share = alpha / sum(pieces(len(n)) for _, n in terms)
    bounds = [_span_limits(k, n, share) for k, n in terms]
    return aggregate([b[0] for b in bounds], s["aggregate"]), aggregate([b[1] for b in bounds], s["aggregate"])


def pieces(cells: int) -> int:
    """How many simultaneous statements one max - min needs: every pair of cells, or every cell where these are many."""
    return cells * (cells - 1) // 2 if cells <= MOST_PAIRED_CELLS else cells


def _span_limits(k: Floats, n: Floats, alpha: float) -> Limits:
    """Limits of max - min over cells, each of ``pieces`` statements at ``alpha``."""
    low, high = wilson(k, n, alpha)
    if len(n) > MOST_PAIRED_CELLS:
        return max(0.0, float(low.max() - high.min())), float(high.max() - low.min())
    lower, upper = newcombe(k / n, low, high)
    np.fill_diagonal(lower, 0.0)
    np.fill_diagonal(upper, 0.0)
    return max(0.0, float(lower.max())), min(1.0, float(upper.max()))


def paired_limits(s: Statistic, alpha: float) -> Limits | None:
    """Bonett-Price limits with all counts over the design effect."""
    n, deff = sample_size(s), float(s.get("deff", 1.0))
    if not n > 0:
        return None
    return paired_difference(s["only_candidate"] / deff, s["only_other"] / deff, n / deff, alpha)


def auc_limits(s: Statistic, alpha: float) -> Limits | None:
    """Logit limits; where the curve is degenerate, Wilson limits with the smaller side's samples, so that it keeps a width."""
    value, se, fewer = float(s["value"]), float(s["se"]), min(s["n1"], s["n0"])
    if not fewer > 0:
        return None
    if TINY < value < 1 - TINY and se > TINY:
        return logit_limits(value, se, alpha)
    return proportion_limits(proportion(value * fewer, fewer), alpha)
