"""Who gained from the forgetting: how the accuracy of every other group changed, and what the nearest group got of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.intervals.combined import estimate
from grmu_audit.intervals.proportions import sample_size
from grmu_audit.intervals.statistic import Statistic
from grmu_audit.metrics.accuracy import cell_pairs, cells_basis
from grmu_audit.metrics.checked_predictions import Facts
from grmu_audit.metrics.outcome import Basis, defined, undefined
from grmu_audit.metrics.scores import log_softmax
from grmu_audit.records import MetricValue, Subject

_LISTED = 64


def redistribution(candidate: Facts, baseline: Facts | None, *, subject: Subject, confidence: float) -> MetricValue:
    """GAIN_SHARE: share of the other groups' total gain that went to the group nearest to the forgotten one.

    Formula: max(d_b*, 0) / sum over b of max(d_b, 0), with d_b the paired change of group b's test accuracy from the
    baseline to the candidate, over the groups b that do not give the forget set.  The nearest group b* is the one whose
    mean predicted distribution under the baseline is nearest to the forgotten group's (total variation; on ties the
    same target first).  ``details`` holds every group's change, who gained and lost most, and the distances.

    Returns:
        A value in [0, 1]; undefined without a baseline or a forget set, with fewer than two other groups that have test
        rows, or where no group gained.
    """
    nothing = Basis(0)
    if baseline is None:
        return undefined("GAIN_SHARE", "no baseline to compare with", nothing, subject=subject, confidence=confidence)
    if not candidate.dominant:
        return undefined("GAIN_SHARE", "no forget sample (n = 0)", nothing, subject=subject, confidence=confidence)
    codes, others, pairs = _others(candidate, baseline)
    basis = cells_basis(candidate)
    if len(others) < 2:
        why = f"{len(others)} other group with test samples: two are needed"
        return undefined("GAIN_SHARE", why, basis, subject=subject, confidence=confidence)
    distances = _distances(baseline, others)
    chosen = _nearest(candidate, codes, others, distances)
    statistic: Statistic = {"kind": "share_of_gain", "cells": pairs, "chosen": chosen}
    changed = np.array([estimate(cell) for cell in pairs])
    details = _details(candidate, codes[others], changed, distances, chosen)
    made = Basis(basis.n, int(min(sample_size(p) for p in pairs)), None, basis.empty_cells, basis.subjects, details)
    if not (changed > 0).any():
        return undefined("GAIN_SHARE", "no other group gained", made, subject=subject, confidence=confidence)
    return defined("GAIN_SHARE", statistic, made, subject=subject, confidence=confidence)


def _others(f: Facts, g: Facts) -> tuple[Any, list[int], list[Statistic]]:
    """Codes of all cells, positions of the other groups with test rows, and their paired counts."""
    codes, index = f.cells
    rows = f.test
    pairs = cell_pairs(f.correct[rows], g.correct[rows], index[rows], len(codes), f.subject_of(rows))
    asked = {group.target * f.predictions.attributes + group.attribute for group in f.dominant}
    others = [i for i, code in enumerate(codes.tolist()) if code not in asked and f.test_counts[i]]
    return codes, others, [pairs[i] for i in others]


def _profiles(f: Facts) -> Floats:
    """[cells, classes] mean predicted distribution on the test rows; shares of predicted classes where there are no scores."""
    p, (codes, index) = f.predictions, f.cells
    rows = np.flatnonzero(f.test)
    given = np.exp(log_softmax(p.logits[rows])) if p.logits is not None else np.eye(p.classes)[p.prediction[rows]]
    sums = np.zeros((len(codes), p.classes))
    for c in range(p.classes):
        sums[:, c] = np.bincount(index[rows], weights=given[:, c], minlength=len(codes))
    result: Floats = sums / np.maximum(f.test_counts, 1)[:, None]
    return result


def _distances(baseline: Facts, others: list[int]) -> Floats:
    """Total-variation distance of each other group's profile from the forgotten groups' pooled one."""
    codes, _ = baseline.cells
    asked = [g.target * baseline.predictions.attributes + g.attribute for g in baseline.dominant]
    weight = np.where(np.isin(codes, asked), baseline.test_counts, 0)
    profiles = _profiles(baseline)
    if not weight.sum():
        return np.full(len(others), 1.0)
    own = (profiles * weight[:, None]).sum(axis=0) / weight.sum()
    result: Floats = np.abs(profiles[others] - own).sum(axis=1) / 2
    return result


def _nearest(f: Facts, codes: Any, others: list[int], distances: Floats) -> int:
    targets = {group.target for group in f.dominant}
    other_target = np.array([int(codes[i]) // f.predictions.attributes not in targets for i in others])
    return int(np.lexsort((np.arange(len(others)), other_target, np.round(distances, 9)))[0])


def _details(f: Facts, codes: Any, changed: Floats, distances: Floats, chosen: int) -> dict[str, Any]:
    gains = np.maximum(changed, 0.0)
    total = float(gains.sum())
    rows = [
        {"group": _named(f, code), "change": float(d), "share": float(g / total) if total else 0.0, "distance": float(far)}
        for code, d, g, far in zip(codes.tolist(), changed, gains, distances, strict=True)
    ]
    ends = {"most_gained": rows[int(changed.argmax())]["group"], "most_lost": rows[int(changed.argmin())]["group"]}
    listed = sorted(rows, key=lambda row: -abs(float(str(row["change"]))))[:_LISTED]
    return {"nearest": rows[chosen]["group"], **ends, "total_gain": total, "groups": listed}


def _named(f: Facts, code: int) -> dict[str, int]:
    group = f.group(code)
    return {"target": group.target, "attribute": group.attribute}
