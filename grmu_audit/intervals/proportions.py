"""Statistics that stand on counts alone: estimate and limits of each kind; ``intervals.combined`` joins them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import Floats, exact, logit_limits, paired_difference, student_factor, wilson
from grmu_audit.intervals.statistic import aggregate

if TYPE_CHECKING:
    from grmu_audit.intervals.statistic import Limits, Statistic

PAIRED = ("both", "only_candidate", "only_other", "none")
"""Keys of the four counts of a paired comparison."""
METHODS = ("wilson", "clopper-pearson")
"""How the limits of a proportion are made; a statistic names the second under ``method``."""
TINY = 1e-9


def proportion(k: float, n: float, deff: float = 1.0, persons: float | None = None) -> Statistic:
    """``k`` of ``n``, with the design effect of clustered samples and the number of persons that it was estimated from.

    >>> proportion(3, 4)
    {'kind': 'proportion', 'k': 3, 'n': 4, 'deff': 1.0}
    """
    known = {} if persons is None else {"persons": persons}
    return {"kind": "proportion", "k": k, "n": n, "deff": deff, **known}


def sample_size(statistic: Statistic) -> float:
    """Samples behind a proportion or a paired comparison.

    >>> sample_size(proportion(3, 4))
    4.0
    """
    return float(statistic["n"] if "n" in statistic else sum(statistic[key] for key in PAIRED))


def filled(cells: Sequence[Statistic]) -> list[Statistic]:
    """The cells that hold samples."""
    return [c for c in cells if sample_size(c) > 0]


def shares(cells: Sequence[Statistic]) -> Floats:
    """Shares of the cells that hold samples."""
    table = np.array([(c["k"], c["n"]) for c in cells], dtype=np.float64).reshape(-1, 2)
    table = table[table[:, 1] > 0]
    return table[:, 0] / table[:, 1]


def effective(cells: Sequence[Statistic], alpha: float) -> tuple[Floats, Floats]:
    """Counts of cells as if their samples were independent: over the design effect, times ``student_factor``."""
    table = np.array([(c["k"], c["n"], c.get("deff", 1.0), c.get("persons", math.inf)) for c in cells], dtype=np.float64)
    table = table.reshape(-1, 4)[table.reshape(-1, 4)[:, 1] > 0]
    scale = student_factor(alpha, table[:, 3] - 1) / table[:, 2]
    return table[:, 0] * scale, table[:, 1] * scale


def cell_limits(cells: Sequence[Statistic], alpha: float, method: str = "wilson") -> tuple[Floats, Floats]:
    """Lower and upper limits of the cells that hold samples, each at ``alpha``."""
    rule = {"wilson": wilson, "clopper-pearson": exact}
    if method not in rule:
        raise InputError(f"unknown method {method!r} for a proportion: known are {', '.join(METHODS)}")
    return rule[method](*effective(cells, alpha), alpha)


def proportion_estimate(s: Statistic) -> float:
    """Share k / n; NaN without samples."""
    return float(s["k"] / s["n"]) if s["n"] > 0 else math.nan


def minimum_estimate(s: Statistic) -> float:
    """Smallest k / n over the cells that hold samples; NaN without any."""
    found = shares(s["cells"])
    return float(found.min()) if len(found) else math.nan


def gap_estimate(s: Statistic) -> float:
    """Span (max - min) of k / n over the cells of each term, aggregated; NaN where a term holds no sample."""
    spans = []
    for cells in s["terms"]:
        found = shares(cells)
        spans.append(float(np.ptp(found)) if len(found) else math.nan)
    return aggregate(spans, s["aggregate"])


def paired_estimate(s: Statistic) -> float:
    """(only candidate - only other) / n; NaN without samples."""
    n = sample_size(s)
    return float((s["only_candidate"] - s["only_other"]) / n) if n > 0 else math.nan


def proportion_limits(s: Statistic, alpha: float) -> Limits | None:
    """Wilson's limits, or Clopper-Pearson's, with n over the design effect."""
    if not s["n"] > 0:
        return None
    low, high = cell_limits([s], alpha, s.get("method", "wilson"))
    return float(low[0]), float(high[0])


def minimum_limits(s: Statistic, alpha: float) -> Limits | None:
    """Limits of the smallest proportion of several cells.

    Upper: the smallest upper limit, simultaneous over the G cells (``alpha / G``).  Lower: the smallest lower limit
    at ``alpha`` itself, since it can only be missed if the limit of the one cell that is truly the smallest is.
    """
    cells, method = filled(s["cells"]), s.get("method", "wilson")
    if not cells:
        return None
    low, _ = cell_limits(cells, alpha, method)
    _, high = cell_limits(cells, alpha / len(cells), method)
    return float(low.min()), float(high.min())


def paired_limits(s: Statistic, alpha: float) -> Limits | None:
    """Bonett-Price limits with all counts over the design effect."""
    n = sample_size(s)
    if not n > 0:
        return None
    scale = float(student_factor(alpha, np.array([s.get("persons", math.inf) - 1.0]))[0]) / float(s.get("deff", 1.0))
    return paired_difference(s["only_candidate"] * scale, s["only_other"] * scale, n * scale, alpha)


def auc_limits(s: Statistic, alpha: float) -> Limits | None:
    """Logit limits; where the curve is degenerate, Wilson limits with the smaller side's samples, so that it keeps a width."""
    value, fewer = float(s["value"]), min(s["n1"], s["n0"])
    if not fewer > 0:
        return None
    se = widened(s, alpha)
    if TINY < value < 1 - TINY and se > TINY:
        return logit_limits(value, se, alpha)
    return proportion_limits(proportion(value * fewer, fewer), alpha)


def widened(s: Statistic, alpha: float) -> float:
    """Standard error, times t / z where it was estimated from few persons."""
    return float(s["se"]) / math.sqrt(float(student_factor(alpha, np.array([s.get("persons", math.inf) - 1.0]))[0]))
