"""Compact summaries behind the report's curves: loss histograms and ROC points that single out no sample.

An audit must not hold per-sample numbers.  What it stores instead is binned so that every step represents no sample or at least
``SUPPRESSED_BELOW`` (several may be of one person): neighbouring histogram bins are merged, and points of a ROC curve are left
out, until that holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.metrics.checked_predictions import CheckedPredictions
from grmu_audit.metrics.membership.attacks import AttackResults
from grmu_audit.metrics.scores import operating_threshold
from grmu_audit.records.data import SUPPRESSED_BELOW
from grmu_audit.records.metric_value import Subject

CURVES_SCHEMA = "grmu-audit/curves/v1"
"""Schema name and version of ``Audit.curves``."""
OPERATING_POINTS = (0.001, 0.01, 0.1)
"""False-positive rates at which an attack's true-positive rate is given."""


@dataclass(frozen=True)
class _Step:
    """One threshold: who is called a member above it."""

    false: int
    """Unseen samples."""
    true: int
    """Forget samples."""
    rate: float
    """Weighted share of the unseen samples."""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Both counts."""
        return np.array([self.false, self.true])


_FLOOR, _CEILING = 1e-7, 1e2
_PER_DECADE = 3
_GRID = np.concatenate([[0.0], np.logspace(-3, 0, 25)])


def summarise_curves(models: Mapping[Subject, tuple[CheckedPredictions, AttackResults]]) -> dict[str, Any]:
    """Everything that ``Audit.curves`` holds of predictions.

    Args:
        models: checked predictions and what the attacks found, by subject.

    Returns:
        ``schema``; ``losses``: per subject what ``loss_histogram`` returns; ``roc``: per subject what ``roc_points``
        returns.  A subject without losses, or too small for its samples to stay unseen, is absent.
    """
    losses = {str(subject): _losses(*model) for subject, model in models.items()}
    rocs = {str(subject): _roc(*model) for subject, model in models.items()}
    return {
        "schema": CURVES_SCHEMA,
        "losses": {name: found for name, found in losses.items() if found},
        "roc": {name: found for name, found in rocs.items() if found},
    }


def _losses(checked: CheckedPredictions, attacks: AttackResults) -> dict[str, Any] | None:
    if checked.loss is None or not attacks.matched.any():
        return None
    parts = {name: checked.predictions.mask(name) for name in ("retain", "forget")} | {"unseen": attacks.unseen}
    return loss_histogram({name: checked.loss[rows] for name, rows in parts.items() if rows.any()})


def _roc(checked: CheckedPredictions, attacks: AttackResults) -> dict[str, Any] | None:
    name = checked.options.attack_score
    if name not in attacks.rocs:
        return None
    score = checked.scores[name]
    points = roc_points(score[attacks.matched], score[attacks.unseen], attacks.weight)
    return {"score": name, **points} if points else None


def loss_histogram(series: Mapping[str, Floats]) -> dict[str, Any] | None:
    """Counts of losses in bins of the logarithm, merged until each count is 0 or at least ``SUPPRESSED_BELOW``.

    Args:
        series: [n] losses in nats by name, each with at least one sample.

    Returns:
        ``edges``: [bins + 1] nats; ``counts``: by name [bins].  None when even one single bin would show fewer.

    >>> loss_histogram({"forget": np.array([0.01] * 6 + [1.0] * 5), "unseen": np.array([0.01] * 5 + [1.0])})
    {'edges': [0.01, 1.0], 'counts': {'forget': [11], 'unseen': [6]}}
    """
    logs = {name: np.log10(np.clip(values, _FLOOR, _CEILING)) for name, values in series.items()}
    pooled = np.concatenate(list(logs.values()))
    low, high = np.floor(pooled.min() * _PER_DECADE), np.ceil(pooled.max() * _PER_DECADE)
    edges = np.arange(low, max(high, low + 1) + 1) / _PER_DECADE
    counts = np.stack([np.histogram(values, edges)[0] for values in logs.values()])
    starts = _merge_bins(counts)
    if starts is None:
        return None
    merged = np.add.reduceat(counts, starts, axis=1)
    kept = [float(f"{10**edge:.6g}") for edge in (*edges[starts], edges[-1])]
    return {"edges": kept, "counts": {name: row.tolist() for name, row in zip(logs, merged, strict=True)}}


def _merge_bins(counts: npt.NDArray[np.int64]) -> list[int] | None:
    """First fine bins of the merged bins, left to right; what is left over at the right joins its neighbour."""
    if _shows_few(counts.sum(axis=1)):
        return None
    starts, held = [0], np.zeros(len(counts), dtype=np.int64)
    for i in range(counts.shape[1]):
        held = held + counts[:, i]
        if held.any() and not _shows_few(held):
            starts.append(i + 1)
            held = np.zeros_like(held)
    starts = [start for start in starts if start < counts.shape[1]]
    while len(starts) > 1 and _shows_few(counts[:, starts[-1] :].sum(axis=1)):
        starts.pop()
    return starts


def _shows_few(cells: npt.NDArray[np.int64]) -> bool:
    """Whether a cell holds some samples, but too few to be shown."""
    return bool(((cells > 0) & (cells < SUPPRESSED_BELOW)).any())


def roc_points(positive: Floats, negative: Floats, weight: Floats) -> dict[str, Any] | None:
    """A ROC curve at few false-positive rates, with steps of no sample or at least ``SUPPRESSED_BELOW`` on both sides.

    Args:
        positive: [n1] scores of the forget set, n1 > 0.
        negative: [n0] scores of unseen samples, n0 > 0.
        weight: [n0] weights of the negatives, positive sum.

    Returns:
        ``fpr`` and ``tpr``: from (0, 0) to (1, 1), rising; ``operating``: ``{"fpr", "tpr", "why"}`` for each of
        ``OPERATING_POINTS``, ``tpr`` None with the reason where it is suppressed; ``positives`` and ``negatives``.
        None with fewer than ``SUPPRESSED_BELOW`` on a side.
    """
    n1, n0 = len(positive), len(negative)
    if min(n1, n0) < SUPPRESSED_BELOW:
        return None
    order = np.argsort(-negative, kind="stable")
    ladder = np.cumsum(weight[order]) / weight.sum()
    kept = _leave_out_small(_thresholds(positive, negative[order], ladder), _Step(n0, n1, 1.0))
    curve = {"fpr": [_rate(step.rate) for step in kept], "tpr": [_rate(step.true / n1) for step in kept]}
    operating = [_operating_point(rate, positive, negative, weight) for rate in OPERATING_POINTS]
    return {**curve, "operating": operating, "positives": n1, "negatives": n0}


def _thresholds(positive: Floats, ranked: Floats, ladder: Floats) -> list[_Step]:
    """Steps at thresholds between distinct scores, the first and last of each cell of a logarithmic grid of rates."""
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    cells = np.searchsorted(_GRID, ladder[ends] - 1e-12)
    new = cells[1:] != cells[:-1]
    chosen = ends[np.append(new, True) | np.append(True, new)]
    beaten = np.sort(positive)
    steps = []
    for end in chosen.tolist():
        below = ranked[end + 1] if end + 1 < len(ranked) else -np.inf
        true = len(beaten) - int(np.searchsorted(beaten, below, side="right"))
        steps.append(_Step(end + 1, true, min(float(ladder[end]), 1.0)))
    return steps


def _leave_out_small(steps: Sequence[_Step], last: _Step) -> list[_Step]:
    """The steps that add no or enough samples on both sides, from none to all."""
    kept = [_Step(0, 0, 0.0)]
    for step in steps:
        gained = step.counts - kept[-1].counts
        if gained.any() and not _shows_few(gained):
            kept.append(step)
    while len(kept) > 1 and _shows_few(last.counts - kept[-1].counts):
        kept.pop()
    return [*kept, last] if kept[-1].counts.tolist() != last.counts.tolist() else kept


def _operating_point(rate: float, positive: Floats, negative: Floats, weight: Floats) -> dict[str, Any]:
    if rate * len(negative) < 1:
        return {"fpr": rate, "tpr": None, "why": f"{len(negative)} unseen samples cannot resolve this rate"}
    threshold, _ = operating_threshold(negative, weight, rate)
    true = int((positive > threshold).sum())
    if _shows_few(np.array([true, len(positive) - true])):
        return {"fpr": rate, "tpr": None, "why": f"would speak of fewer than {SUPPRESSED_BELOW} samples"}
    return {"fpr": rate, "tpr": _rate(true / len(positive)), "why": None}


def _rate(value: float) -> float:
    return float(f"{value:.6g}")
