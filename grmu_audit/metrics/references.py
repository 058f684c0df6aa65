"""Comparison with retrained reference models: means over references, closeness, place among them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grmu_audit.intervals.combined import estimate
from grmu_audit.intervals.statistic import Statistic
from grmu_audit.metrics.outcome import Basis, defined, undefined
from grmu_audit.records import MetricValue, Subject

CONFIDENCE = 0.95
"""Coverage of the prediction interval."""


def retrain_distribution(value: float, references: Sequence[float], confidence: float = CONFIDENCE) -> dict[str, Any]:
    """Where a value lies among those of models retrained from other seeds.

    The prediction interval is the range in which one more retrained model's value would lie with ``confidence``, taken
    as normal over seeds: mean ± t(m-1) sd sqrt(1 + 1/m).  It knows the spread over seeds on this test set only; the
    sampling interval of the change stands apart from it.

    Args:
        value: the candidate's value.
        references: [m] values of the retrained models.
        confidence: coverage.

    Returns:
        ``seeds`` m, ``mean``, ``sd`` (None below two), ``prediction_interval`` and ``p_value`` (two-sided, that the value
        comes from the same distribution; None below three seeds or without spread), ``inside`` (True, False or None).

    Source: Hahn and Meeker (1991), Statistical Intervals, ch. 4.

    >>> found = retrain_distribution(0.80, [0.80, 0.81, 0.82, 0.83])
    >>> found["inside"], [round(x, 3) for x in found["prediction_interval"]]
    (True, [0.769, 0.861])
    """
    m, numbers = len(references), np.asarray(references, dtype=np.float64)
    mean = float(numbers.mean()) if m else None
    sd = float(numbers.std(ddof=1)) if m > 1 else None
    made: dict[str, Any] = {"seeds": m, "mean": mean, "sd": sd, "prediction_interval": None, "p_value": None, "inside": None}
    if m < 3 or mean is None or sd is None or not sd > 0:
        return made
    from scipy.special import stdtr, stdtrit

    reach = sd * math.sqrt(1 + 1 / m)
    t = float(stdtrit(m - 1, (1 + confidence) / 2))
    low, high = mean - t * reach, mean + t * reach
    p_value = float(2 * stdtr(m - 1, -abs(value - mean) / reach))
    return {**made, "prediction_interval": [low, high], "p_value": p_value, "inside": bool(low <= value <= high)}


AVG_GAP_OF = ("RA", "UA", "TA", "MIA_PAPER", "EO", "GA")
"""Metrics that AVG_GAP is the mean over."""
TOW_OF = ("RA", "UA", "TA")
"""Accuracies that TOW is the product over."""


def mean_changes(
    per_reference: Sequence[Sequence[MetricValue]], *, subject: Subject, confidence: float, own: Sequence[MetricValue] = ()
) -> Iterator[MetricValue]:
    """Mean over references of every change.

    ``details`` holds, apart from the interval, the spread over references and, where ``own`` gives the candidate's values,
    where these lie in the distribution of retrained models (``metrics.references``).
    """
    values = {(v.name, v.group): v.value for v in own}
    for row in zip(*per_reference, strict=True):
        first, missing = row[0], [v for v in row if v.statistic is None]
        basis = _shared_basis(row)
        if missing:
            why = f"{missing[0].subject}: {missing[0].why_missing}"
            yield undefined(first.name, why, basis, subject=subject, confidence=confidence, group=first.group)
            continue
        terms = [v.statistic for v in row if v.statistic is not None]
        basis.details.update(_among_retrained(row, values.get((first.name, first.group))))
        statistic = terms[0] if len(terms) == 1 else {"kind": "mean", "terms": terms}
        yield defined(first.name, statistic, basis, subject=subject, confidence=confidence, group=first.group)


def _among_retrained(row: Sequence[MetricValue], own: float | None) -> dict[str, object]:
    """The candidate's value among those of the retrained models, which are it minus the change to each."""
    found = [v.value for v in row if v.value is not None]
    if own is None or len(found) < 2:
        return {}
    return {"retrain_distribution": retrain_distribution(own, [own - change for change in found])}


def closeness(
    per_reference: Sequence[Sequence[MetricValue]], *, subject: Subject, confidence: float, why: str = ""
) -> Iterator[MetricValue]:
    """AVG_GAP and TOW: 1 - abs(candidate - reference), averaged or multiplied, per reference and then averaged.

    AVG_GAP = mean over RA, UA, TA, MIA_PAPER, EO, GA; TOW = product over RA, UA, TA.  Range [0, 1], higher is nearer
    to the reference.  Undefined without a reference (``why``) or where one of the parts is undefined.
    """
    for name, parts, how in (("AVG_GAP", AVG_GAP_OF, "mean"), ("TOW", TOW_OF, "product")):
        rows = [[_named(changes_, part) for part in parts] for changes_ in per_reference]
        missing = [v for row in rows for v in row if v.statistic is None]
        basis = _shared_basis([v for row in rows for v in row]) if rows else Basis(0)
        if missing or not rows:
            reason = (
                f"{missing[0].name} is undefined: {missing[0].why_missing}" if missing else why or "no reference model was given"
            )
            yield undefined(name, reason, replace(basis, details={}), subject=subject, confidence=confidence)
            continue
        terms: list[Statistic] = [{"kind": "closeness", "aggregate": how, "terms": [v.statistic for v in row]} for row in rows]
        spread = {"per_reference": {str(row[0].subject): estimate(term) for row, term in zip(rows, terms, strict=True)}}
        statistic = terms[0] if len(terms) == 1 else {"kind": "mean", "terms": terms}
        yield defined(name, statistic, replace(basis, details=spread), subject=subject, confidence=confidence)


def _named(values: Sequence[MetricValue], name: str) -> MetricValue:
    return next(v for v in values if v.name == name and v.group is None)


def _shared_basis(row: Sequence[MetricValue]) -> Basis:
    """The least of the parts: what a rule on their mean must be judged by."""
    least = min(row, key=lambda v: v.n if v.smallest_cell is None else v.smallest_cell)
    empty = tuple(sorted({cell for v in row for cell in v.empty_cells}))
    each = {str(v.subject): v.value for v in row}
    details: dict[str, object] = {}
    if all(isinstance(x, float) for x in each.values()) and len(each) == len(row) > 1:
        numbers = np.array([x for x in each.values() if x is not None])
        details = {"per_reference": each, "sd_over_references": float(numbers.std(ddof=1))}
    return Basis(max(v.n for v in row), least.smallest_cell, least.smallest_group, empty, least.subjects, details)
