"""Comparison with retrained reference models: means over references, closeness, place among them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from grmu_audit.intervals import Closeness, Mean, Statistic
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.records.metric_value import Subject

PerReference = Mapping[Subject, Sequence[Outcome]]
"""Changes from each reference to the candidate, by the reference."""
CONFIDENCE = 0.95
"""Coverage of the prediction interval."""


def retrain_distribution(value: float, references: Sequence[float]) -> dict[str, Any]:
    """Position of a value among those of models retrained from other seeds.

    The prediction interval is the range in which one more retrained model's value would lie with ``CONFIDENCE``, taken
    as normal over seeds: mean ± t(m-1) sd sqrt(1 + 1/m).  It knows the spread over seeds on this test set only; the
    sampling interval of the change stands apart from it.

    Args:
        value: the candidate's value.
        references: [m] values of the retrained models.

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
    t = float(stdtrit(m - 1, (1 + CONFIDENCE) / 2))
    low, high = mean - t * reach, mean + t * reach
    p_value = float(2 * stdtr(m - 1, -abs(value - mean) / reach))
    return {**made, "prediction_interval": [low, high], "p_value": p_value, "inside": bool(low <= value <= high)}


AVG_GAP_OF = ("RA", "UA", "TA", "MIA_PAPER", "EO", "GA")
"""Metrics that AVG_GAP is the mean over."""
TOW_OF = ("RA", "UA", "TA")
"""Accuracies that TOW is the product over."""


def mean_changes(per_reference: PerReference, own: Sequence[Outcome] = ()) -> Iterator[Outcome]:
    """Mean over references of every change.

    ``details`` holds, apart from the interval, the spread over references and, where ``own`` gives the candidate's values,
    where these lie in the distribution of retrained models.

    Args:
        per_reference: changes from each reference to the candidate, the same metrics in the same order.
        own: outcomes of the candidate.
    """
    values = {(found.metric, found.group): found.estimate for found in own}
    for row in zip(*per_reference.values(), strict=True):
        first, named = row[0], dict(zip(per_reference, row, strict=True))
        basis = _shared_basis(row, named)
        missing = next((subject for subject, found in named.items() if found.statistic is None), None)
        if missing is not None:
            reason = f"{missing.as_change()}: {named[missing].reason}"
            yield Outcome.missing(first.metric, reason, basis, first.group)
            continue
        basis.details.update(_among_retrained(row, values.get((first.metric, first.group))))
        yield Outcome(first.metric, basis, _mean(_statistics(row)), group=first.group)


def _statistics(outcomes: Sequence[Outcome]) -> tuple[Statistic, ...]:
    return tuple(found.statistic for found in outcomes if found.statistic is not None)


def _mean(terms: tuple[Statistic, ...]) -> Statistic:
    return terms[0] if len(terms) == 1 else Mean(terms)


def _among_retrained(row: Sequence[Outcome], own: float | None) -> dict[str, object]:
    """The candidate's value among those of the retrained models, which are it minus the change to each."""
    found = [outcome.estimate for outcome in row if outcome.estimate is not None]
    if own is None or len(found) < 2:
        return {}
    return {"retrain_distribution": retrain_distribution(own, [own - change for change in found])}


def closeness(per_reference: PerReference) -> Iterator[Outcome]:
    """AVG_GAP and TOW: 1 - abs(candidate - reference), averaged or multiplied, per reference and then averaged.

    AVG_GAP = mean over RA, UA, TA, MIA_PAPER, EO, GA; TOW = product over RA, UA, TA.  Range [0, 1], higher is nearer
    to the reference.  Undefined without a reference or where one of the parts is undefined.

    Args:
        per_reference: changes from each reference to the candidate.
    """
    yield _closeness("AVG_GAP", AVG_GAP_OF, "mean", per_reference)
    yield _closeness("TOW", TOW_OF, "product", per_reference)


def _closeness(name: str, parts: Sequence[str], how: Literal["mean", "product"], per_reference: PerReference) -> Outcome:
    rows = {subject: [_whole(found, part) for part in parts] for subject, found in per_reference.items()}
    everything = [found for row in rows.values() for found in row]
    if not everything:
        return Outcome.missing(name, "no reference model was given", Basis(0))
    basis = replace(_shared_basis(everything, {}), details={})
    missing = next((found for found in everything if found.statistic is None), None)
    if missing is not None:
        return Outcome.missing(name, f"{missing.metric} is undefined: {missing.reason}", basis)
    terms = {subject: Closeness(how, _statistics(row)) for subject, row in rows.items()}
    spread = {"per_reference": {str(subject.as_change()): term.estimate for subject, term in terms.items()}}
    return Outcome(name, replace(basis, details=spread), _mean(tuple(terms.values())))


def _whole(outcomes: Sequence[Outcome], name: str) -> Outcome:
    return next(found for found in outcomes if found.metric == name and found.group is None)


def _shared_basis(row: Sequence[Outcome], named: Mapping[Subject, Outcome]) -> Basis:
    """The least of the parts: what a rule on their mean must be judged by."""
    least = min(row, key=lambda found: found.smallest)
    empty = tuple(sorted({cell for found in row for cell in found.basis.empty_cells}))
    each = {str(subject.as_change()): found.estimate for subject, found in named.items()}
    numbers = [number for number in each.values() if number is not None]
    details: dict[str, object] = {}
    if len(numbers) == len(each) > 1:
        details = {"per_reference": each, "sd_over_references": float(np.array(numbers).std(ddof=1))}
    basis = least.basis
    return Basis(max(found.basis.n for found in row), least.smallest, basis.smallest_group, empty, basis.persons, details)
