"""Sufficient statistics as plain JSON trees, and the estimate and the interval that follow from one alone.

A statistic is a dict with a ``kind``:

===================  =======================================================  ===========================================
kind                 keys                                                     interval
===================  =======================================================  ===========================================
``proportion``       ``k n deff``                                             Wilson with n / deff
``minimum``          ``cells`` [{k n deff}]                                   simultaneous Wilson (Bonferroni over cells)
``gap``              ``terms`` [[{k n deff}]], ``aggregate`` mean or max      simultaneous Newcombe over pairs of cells
``paired``           ``both only_candidate only_other none deff``             Bonett-Price
``difference``       ``left right`` (statistics of separate samples)          MOVER
``difference_box``   ``left right`` (statistics of shared samples)            each at alpha / 2
``auc``              ``value se n1 n0``                                       logit
``auc_change``       ``left right se``                                        Wald with the paired standard error
``closeness``        ``terms`` (changes), ``aggregate`` mean or product       1 - abs(change), Bonferroni over the terms
``mean``             ``terms`` (statistics)                                   Bonferroni over the terms
===================  =======================================================  ===========================================

``deff`` >= 1 is the design effect of several samples per person (``metrics.clusters``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.metrics.closed_forms import Floats, logit_limits, newcombe, paired_difference, wilson, z_value

Statistic = dict[str, Any]
"""A sufficient statistic; see the table of this module."""

Limits = tuple[float, float]
"""Lower and upper limit."""

_MOST_PAIRED_CELLS = 64
_TINY = 1e-9


def proportion(k: float, n: float, deff: float = 1.0) -> Statistic:
    """``k`` of ``n``, with the design effect of clustered samples.

    >>> estimate(proportion(3, 4))
    0.75
    """
    return {"kind": "proportion", "k": k, "n": n, "deff": deff}


def estimate(statistic: Statistic) -> float:
    """The value that the statistic stands for.

    Raises:
        InputError: the kind is unknown or a key is missing.
    """
    return float(_of(_ESTIMATES, statistic)(statistic))


def interval(statistic: Statistic, confidence: float) -> Limits | None:
    """Lower and upper limit at ``confidence``; always holds the estimate; None where the statistic rests on no sample.

    Raises:
        InputError: the kind is unknown or the confidence is outside (0, 1).

    >>> low, high = interval(proportion(8, 10), 0.95)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence {confidence!r} is outside (0, 1)")
    return limits(statistic, 1 - confidence)


def limits(statistic: Statistic, alpha: float) -> Limits | None:
    """As ``interval`` with the level as ``alpha`` = 1 - confidence, which stays exact when it is divided."""
    found = _of(_LIMITS, statistic)(statistic, alpha)
    if found is None:
        return None
    middle = estimate(statistic)
    low, high = min(found[0], middle), max(found[1], middle)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def scaled(statistic: Statistic, factor: float) -> Statistic:
    """The same estimate from ``factor`` times as many samples: counts are multiplied, standard errors shrink.

    >>> scaled(proportion(3, 4), 10)
    {'kind': 'proportion', 'k': 30, 'n': 40, 'deff': 1.0}
    """
    return {key: _scaled(key, item, factor) for key, item in statistic.items()}


def fold(low: float, high: float) -> Limits:
    """Limits of abs(x) for x in [low, high].

    >>> fold(-0.1, 0.3), fold(-0.3, -0.1)
    ((0.0, 0.3), (0.1, 0.3))
    """
    inside = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return inside, max(abs(low), abs(high))


_COUNTS = frozenset({"k", "n", "n1", "n0", "both", "only_candidate", "only_other", "none"})


def _scaled(key: str, item: Any, factor: float) -> Any:
    if isinstance(item, dict):
        return {name: _scaled(name, inner, factor) for name, inner in item.items()}
    if isinstance(item, list):
        return [_scaled(key, inner, factor) for inner in item]
    if key in _COUNTS:
        return item * factor
    return item / math.sqrt(factor) if key == "se" else item


def _of(table: dict[str, Callable[..., Any]], statistic: Statistic) -> Callable[..., Any]:
    kind = statistic.get("kind")
    if kind not in table:
        raise InputError(f"unknown kind of statistic {kind!r}: known are {', '.join(sorted(table))}")
    return table[str(kind)]


def _arrays(cells: Sequence[dict[str, float]]) -> tuple[Floats, Floats]:
    """Effective k and n of the cells that hold samples."""
    table = np.array([(c["k"], c["n"], c.get("deff", 1.0)) for c in cells], dtype=np.float64).reshape(-1, 3)
    table = table[table[:, 1] > 0]
    return table[:, 0] / table[:, 2], table[:, 1] / table[:, 2]


# estimates ------------------------------------------------------------------------------------------------------------


def _proportion_estimate(s: Statistic) -> float:
    return float(s["k"] / s["n"]) if s["n"] > 0 else math.nan


def _minimum_estimate(s: Statistic) -> float:
    k, n = _arrays(s["cells"])
    return float((k / n).min()) if len(n) else math.nan


def _gap_estimate(s: Statistic) -> float:
    spans = []
    for cells in s["terms"]:
        k, n = _arrays(cells)
        spans.append(float(np.ptp(k / n)) if len(n) else math.nan)
    return _aggregate(spans, s["aggregate"])


def _paired_total(s: Statistic) -> float:
    return float(s["both"] + s["only_candidate"] + s["only_other"] + s["none"])


def _paired_estimate(s: Statistic) -> float:
    n = _paired_total(s)
    return float((s["only_candidate"] - s["only_other"]) / n) if n > 0 else math.nan


def _difference_estimate(s: Statistic) -> float:
    return estimate(s["left"]) - estimate(s["right"])


def _closeness_estimate(s: Statistic) -> float:
    return _aggregate([1 - abs(estimate(term)) for term in s["terms"]], s["aggregate"])


def _aggregate(values: Sequence[float], how: str) -> float:
    if not values:
        return math.nan
    rules: dict[str, Callable[[Sequence[float]], float]] = {"mean": lambda v: sum(v) / len(v), "max": max, "product": math.prod}
    if how not in rules:
        raise InputError(f"unknown aggregate {how!r}: known are {', '.join(sorted(rules))}")
    return float(rules[how](values))


# limits ---------------------------------------------------------------------------------------------------------------


def _proportion_limits(s: Statistic, alpha: float) -> Limits | None:
    k, n = _arrays([s])
    if not len(n):
        return None
    low, high = wilson(k, n, alpha)
    return float(low[0]), float(high[0])


def _minimum_limits(s: Statistic, alpha: float) -> Limits | None:
    k, n = _arrays(s["cells"])
    if not len(n):
        return None
    low, high = wilson(k, n, alpha / len(n))
    return float(low.min()), float(high.min())


def _gap_limits(s: Statistic, alpha: float) -> Limits | None:
    terms = [_arrays(cells) for cells in s["terms"]]
    if not terms or any(len(n) < 2 for _, n in terms):
        return None
    share = alpha / sum(_pieces(len(n)) for _, n in terms)
    bounds = [_span_limits(k, n, share) for k, n in terms]
    return _aggregate([b[0] for b in bounds], s["aggregate"]), _aggregate([b[1] for b in bounds], s["aggregate"])


def _pieces(cells: int) -> int:
    """How many simultaneous statements one max - min needs: every pair of cells, or every cell where these are many."""
    return cells * (cells - 1) // 2 if cells <= _MOST_PAIRED_CELLS else cells


def _span_limits(k: Floats, n: Floats, alpha: float) -> Limits:
    """Limits of max - min over cells, each of ``_pieces`` statements at ``alpha``."""
    low, high = wilson(k, n, alpha)
    if len(n) > _MOST_PAIRED_CELLS:
        return max(0.0, float(low.max() - high.min())), float(high.max() - low.min())
    lower, upper = newcombe(k / n, low, high)
    np.fill_diagonal(lower, 0.0)
    np.fill_diagonal(upper, 0.0)
    return max(0.0, float(lower.max())), min(1.0, float(upper.max()))


def _paired_limits(s: Statistic, alpha: float) -> Limits | None:
    n, deff = _paired_total(s), float(s.get("deff", 1.0))
    if not n > 0:
        return None
    return paired_difference(s["only_candidate"] / deff, s["only_other"] / deff, n / deff, alpha)


def _difference_limits(s: Statistic, alpha: float) -> Limits | None:
    left, right = limits(s["left"], alpha), limits(s["right"], alpha)
    if left is None or right is None:
        return None
    a, b = estimate(s["left"]), estimate(s["right"])
    return a - b - math.hypot(a - left[0], right[1] - b), a - b + math.hypot(left[1] - a, b - right[0])


def _box_limits(s: Statistic, alpha: float) -> Limits | None:
    left, right = limits(s["left"], alpha / 2), limits(s["right"], alpha / 2)
    if left is None or right is None:
        return None
    return left[0] - right[1], left[1] - right[0]


def _auc_limits(s: Statistic, alpha: float) -> Limits | None:
    value, se, fewer = float(s["value"]), float(s["se"]), min(s["n1"], s["n0"])
    if not fewer > 0:
        return None
    if _TINY < value < 1 - _TINY and se > _TINY:
        return logit_limits(value, se, alpha)
    return _proportion_limits(proportion(value * fewer, fewer), alpha)


def _auc_change_limits(s: Statistic, alpha: float) -> Limits | None:
    se = float(s["se"])
    if not se > _TINY:
        return _difference_limits(s, alpha)
    middle, half = _difference_estimate(s), z_value(alpha) * se
    return max(middle - half, -1.0), min(middle + half, 1.0)


def _closeness_limits(s: Statistic, alpha: float) -> Limits | None:
    bounds = [limits(term, alpha / len(s["terms"])) for term in s["terms"]]
    folded = [fold(*b) for b in bounds if b is not None]
    if not folded or len(folded) < len(bounds):
        return None
    low, high = [max(0.0, 1 - f[1]) for f in folded], [max(0.0, 1 - f[0]) for f in folded]
    return _aggregate(low, s["aggregate"]), _aggregate(high, s["aggregate"])


def _mean_limits(s: Statistic, alpha: float) -> Limits | None:
    bounds = [limits(term, alpha / len(s["terms"])) for term in s["terms"]]
    known = [b for b in bounds if b is not None]
    if not known or len(known) < len(bounds):
        return None
    return _aggregate([b[0] for b in known], "mean"), _aggregate([b[1] for b in known], "mean")


_ESTIMATES: dict[str, Callable[[Statistic], float]] = {
    "proportion": _proportion_estimate,
    "minimum": _minimum_estimate,
    "gap": _gap_estimate,
    "paired": _paired_estimate,
    "difference": _difference_estimate,
    "difference_box": _difference_estimate,
    "auc": lambda s: float(s["value"]),
    "auc_change": _difference_estimate,
    "closeness": _closeness_estimate,
    "mean": lambda s: _aggregate([estimate(term) for term in s["terms"]], "mean"),
}

_LIMITS: dict[str, Callable[[Statistic, float], Limits | None]] = {
    "proportion": _proportion_limits,
    "minimum": _minimum_limits,
    "gap": _gap_limits,
    "paired": _paired_limits,
    "difference": _difference_limits,
    "difference_box": _box_limits,
    "auc": _auc_limits,
    "auc_change": _auc_change_limits,
    "closeness": _closeness_limits,
    "mean": _mean_limits,
}
