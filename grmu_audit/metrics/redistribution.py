"""Who gained from the forgetting: how the accuracy of every other group changed, and what the nearest group got of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from grmu_audit.intervals import PairedCounts, ShareOfGain
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.metrics.accuracy import cells_basis, group_pairs
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints
from grmu_audit.metrics.outcome import NO_BASELINE, Basis, Outcome
from grmu_audit.metrics.scores import log_softmax

_LISTED = 64


def measure_redistribution(checked: CheckedPredictions, baseline: CheckedPredictions | None) -> Outcome:
    """GAIN_SHARE: share of the other groups' total gain that went to the group nearest to the forgotten one.

    Formula: max(d_b*, 0) / sum over b of max(d_b, 0), with d_b the paired change of group b's test accuracy from the
    baseline to the candidate, over the groups b that do not dominate the forget set.  The nearest group b* is the one whose
    mean predicted distribution under the baseline is nearest to the forgotten group's (total variation; on ties the
    same target first).  ``details`` holds every group's change, who gained and lost most, and the distances.

    Returns:
        A value in [0, 1]; undefined without a baseline or a forget set, with fewer than two other groups that have test
        rows, or where no group gained.
    """
    if baseline is None:
        return Outcome.missing("GAIN_SHARE", NO_BASELINE, Basis(0))
    if not checked.dominant_groups:
        return Outcome.missing("GAIN_SHARE", "no forget sample (n = 0)", Basis(0))
    codes, others, pairs = _others(checked, baseline)
    basis = cells_basis(checked)
    if len(others) < 2:
        return Outcome.missing("GAIN_SHARE", "fewer than two other groups have test samples", basis)
    distances = _distances(baseline, others)
    chosen = _nearest(checked, codes, others, distances)
    changed = np.array([cell.estimate for cell in pairs])
    details = _details(checked, codes[others], changed, distances, chosen)
    basis = Basis(basis.n, int(min(p.n for p in pairs)), None, basis.empty_cells, basis.persons, details)
    if not (changed > 0).any():
        return Outcome.missing("GAIN_SHARE", "no other group gained", basis)
    return Outcome("GAIN_SHARE", basis, ShareOfGain(tuple(pairs), chosen))


def _others(checked: CheckedPredictions, baseline: CheckedPredictions) -> tuple[Ints, list[int], list[PairedCounts]]:
    """Codes of all cells, positions of the other groups with test rows, and their paired counts."""
    codes, pairs = checked.cells[0], group_pairs(checked, baseline)
    dominant = checked.codes_of(checked.dominant_groups)
    others = [i for i, code in enumerate(codes.tolist()) if code not in dominant and checked.test_counts[i]]
    return codes, others, [pairs[i] for i in others]


def _profiles(checked: CheckedPredictions) -> Floats:
    """[cells, classes] mean predicted distribution on the test rows; shares of predicted classes where there are no scores."""
    p, (codes, index) = checked.predictions, checked.cells
    rows = np.flatnonzero(checked.test)
    given = np.exp(log_softmax(p.logits[rows])) if p.logits is not None else np.eye(p.classes)[p.prediction[rows]]
    sums = np.zeros((len(codes), p.classes))
    for c in range(p.classes):
        sums[:, c] = np.bincount(index[rows], weights=given[:, c], minlength=len(codes))
    result: Floats = sums / np.maximum(checked.test_counts, 1)[:, None]
    return result


def _distances(baseline: CheckedPredictions, others: list[int]) -> Floats:
    """Total-variation distance of each other group's profile from the forgotten groups' pooled one."""
    codes, _ = baseline.cells
    weight = np.where(np.isin(codes, baseline.codes_of(baseline.dominant_groups)), baseline.test_counts, 0)
    profiles = _profiles(baseline)
    if not weight.sum():
        return np.full(len(others), 1.0)
    own = (profiles * weight[:, None]).sum(axis=0) / weight.sum()
    result: Floats = np.abs(profiles[others] - own).sum(axis=1) / 2
    return result


def _nearest(checked: CheckedPredictions, codes: Ints, others: list[int], distances: Floats) -> int:
    targets = {group.target for group in checked.dominant_groups}
    other_target = np.array([int(codes[i]) // checked.predictions.attributes not in targets for i in others])
    return int(np.lexsort((np.arange(len(others)), other_target, np.round(distances, 9)))[0])


def _details(checked: CheckedPredictions, codes: Ints, changed: Floats, distances: Floats, chosen: int) -> dict[str, Any]:
    gains = np.maximum(changed, 0.0)
    total = float(gains.sum())
    rows = [
        {
            "group": asdict(checked.group(code)),
            "change": float(d),
            "share": float(g / total) if total else 0.0,
            "distance": float(far),
        }
        for code, d, g, far in zip(codes.tolist(), changed, gains, distances, strict=True)
    ]
    ends = {"most_gained": rows[int(changed.argmax())]["group"], "most_lost": rows[int(changed.argmin())]["group"]}
    listed = sorted(rows, key=lambda row: -abs(float(str(row["change"]))))[:_LISTED]
    return {"nearest": rows[chosen]["group"], **ends, "total_gain": total, "groups": listed}
