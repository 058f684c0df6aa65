"""Intervals of statistics that are combined from others: differences, closeness, means."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import Floats, newcombe, z_value
from grmu_audit.intervals.gaps import BELOW, gap_limits, gap_moved_limits, minimum_change_limits, pieces
from grmu_audit.intervals.proportions import (
    TINY,
    auc_limits,
    gap_estimate,
    minimum_estimate,
    minimum_limits,
    paired_estimate,
    paired_limits,
    proportion_estimate,
    proportion_limits,
    widened,
)
from grmu_audit.intervals.replicates import student_limits
from grmu_audit.intervals.statistic import Limits, Statistic, aggregate


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


def with_method(statistic: Statistic, method: str) -> Statistic:
    """The same statistic with limits of its proportions by another method.

    >>> low, high = interval(with_method(proportion(0, 10), "clopper-pearson"), 0.95)
    >>> low, round(high, 4)
    (0.0, 0.3085)
    """
    if method == "wilson":
        return statistic
    inner = {
        key: with_method(item, method) if isinstance(item, dict) and "kind" in item else item for key, item in statistic.items()
    }
    if statistic["kind"] in ("closeness", "mean"):
        inner["terms"] = [with_method(term, method) for term in statistic["terms"]]
    return {**inner, "method": method} if statistic["kind"] in ("proportion", "minimum", "gap") else inner


def fold(low: float, high: float) -> Limits:
    """Limits of abs(x) for x in [low, high].

    >>> fold(-0.1, 0.3), fold(-0.3, -0.1)
    ((0.0, 0.3), (0.1, 0.3))
    """
    inside = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return inside, max(abs(low), abs(high))


_MOVED = 0.8
_COUNTS = frozenset({"k", "n", "n1", "n0", "both", "only_candidate", "only_other", "none", "persons"})


def _scaled(key: str, item: Any, factor: float) -> Any:
    if isinstance(item, dict):
        return {name: _scaled(name, inner, factor) for name, inner in item.items()}
    if isinstance(item, list):
        return [_scaled(key, inner, factor) for inner in item]
    if key in _COUNTS:
        return item * factor
    return item / math.sqrt(factor) if key == "se" and item is not None else item


def _of(table: dict[str, Callable[..., Any]], statistic: Statistic) -> Callable[..., Any]:
    kind = statistic.get("kind")
    if kind not in table:
        raise InputError(f"unknown kind of statistic {kind!r}: known are {', '.join(sorted(table))}")
    return table[str(kind)]


# estimates ------------------------------------------------------------------------------------------------------------


def _difference_estimate(s: Statistic) -> float:
    return estimate(s["left"]) - estimate(s["right"])


def _closeness_estimate(s: Statistic) -> float:
    return aggregate([1 - abs(estimate(term)) for term in s["terms"]], s["aggregate"])


# limits ---------------------------------------------------------------------------------------------------------------


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


def _bounded_limits(s: Statistic, alpha: float) -> Limits | None:
    """Change of a minimum (``intervals.gaps``); change of a gap: in the box of both sides, and within what its cells moved by."""
    if s["aggregate"] == "min":
        return minimum_change_limits(s, alpha)
    box, moved = _box_limits(s, alpha * (1 - _MOVED)), gap_moved_limits(s, alpha * _MOVED)
    if box is None or moved is None:
        return box
    return max(box[0], moved[0]), min(box[1], moved[1])


def _auc_gap_limits(s: Statistic, alpha: float) -> Limits | None:
    """Largest minus smallest of several independent areas, by the argument of ``intervals.gaps``."""
    cells = s["cells"]
    values = np.array([cell["value"] for cell in cells], dtype=np.float64)
    if len(cells) < 2:
        return None
    lower = _auc_pairs(cells, values, alpha * BELOW / pieces(len(cells)))[0]
    upper = _auc_pairs(cells, values, alpha)[1]
    return max(0.0, float(lower.max())), min(1.0, float(upper.max()))


def _auc_pairs(cells: Sequence[Statistic], values: Floats, alpha: float) -> tuple[Floats, Floats]:
    bounds = np.array([auc_limits(cell, alpha) or (0.0, 1.0) for cell in cells])
    return newcombe(values, np.minimum(bounds[:, 0], values), np.maximum(bounds[:, 1], values))


def _gain_estimate(s: Statistic) -> float:
    gains = np.maximum([estimate(cell) for cell in s["cells"]], 0.0)
    total = float(gains.sum())
    return float(gains[s["chosen"]]) / total if total > 0 else math.nan


def _gain_limits(s: Statistic, alpha: float) -> Limits | None:
    """From simultaneous limits of every cell's change: least of the chosen one with most of the others, and the reverse."""
    bounds = np.array([limits(cell, alpha / len(s["cells"])) or (-1.0, 1.0) for cell in s["cells"]])
    low, high = np.maximum(bounds[:, 0], 0.0), np.maximum(bounds[:, 1], 0.0)
    i = s["chosen"]
    least, most = low[i] + high.sum() - high[i], high[i] + low.sum() - low[i]
    return float(low[i] / least) if least > 0 else 0.0, float(high[i] / most) if most > 0 else 1.0


def _auc_change_limits(s: Statistic, alpha: float) -> Limits | None:
    se = widened(s, alpha)
    if not se > TINY:
        return _difference_limits(s, alpha)
    middle, half = _difference_estimate(s), z_value(alpha) * se
    return max(middle - half, -1.0), min(middle + half, 1.0)


def _closeness_limits(s: Statistic, alpha: float) -> Limits | None:
    bounds = [limits(term, alpha / len(s["terms"])) for term in s["terms"]]
    folded = [fold(*b) for b in bounds if b is not None]
    if not folded or len(folded) < len(bounds):
        return None
    low, high = [max(0.0, 1 - f[1]) for f in folded], [max(0.0, 1 - f[0]) for f in folded]
    return aggregate(low, s["aggregate"]), aggregate(high, s["aggregate"])


def _mean_limits(s: Statistic, alpha: float) -> Limits | None:
    bounds = [limits(term, alpha / len(s["terms"])) for term in s["terms"]]
    known = [b for b in bounds if b is not None]
    if not known or len(known) < len(bounds):
        return None
    return aggregate([b[0] for b in known], "mean"), aggregate([b[1] for b in known], "mean")


_ESTIMATES: dict[str, Callable[[Statistic], float]] = {
    "proportion": proportion_estimate,
    "minimum": minimum_estimate,
    "gap": gap_estimate,
    "paired": paired_estimate,
    "difference": _difference_estimate,
    "difference_box": _difference_estimate,
    "bounded_change": _difference_estimate,
    "auc": lambda s: float(s["value"]),
    "auc_change": _difference_estimate,
    "auc_gap": lambda s: float(np.ptp([cell["value"] for cell in s["cells"]])) if s["cells"] else math.nan,
    "share_of_gain": _gain_estimate,
    "closeness": _closeness_estimate,
    "mean": lambda s: aggregate([estimate(term) for term in s["terms"]], "mean"),
    "student": lambda s: float(s["value"]),
}
_LIMITS: dict[str, Callable[[Statistic, float], Limits | None]] = {
    "proportion": proportion_limits,
    "minimum": minimum_limits,
    "gap": gap_limits,
    "paired": paired_limits,
    "difference": _difference_limits,
    "difference_box": _box_limits,
    "bounded_change": _bounded_limits,
    "auc": auc_limits,
    "auc_change": _auc_change_limits,
    "auc_gap": _auc_gap_limits,
    "share_of_gain": _gain_limits,
    "closeness": _closeness_limits,
    "mean": _mean_limits,
    "student": student_limits,
}
