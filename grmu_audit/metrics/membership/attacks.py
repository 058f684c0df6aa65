"""Membership inference: does the forget set still look like training data?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.intervals.design_effects import design_effect
from grmu_audit.intervals.proportions import proportion
from grmu_audit.intervals.statistic import Statistic
from grmu_audit.metrics.checked_predictions import Facts, Mask
from grmu_audit.metrics.membership.exposure import SCORELESS, matched_sides
from grmu_audit.metrics.membership.forest import forest_calls
from grmu_audit.metrics.outcome import Basis, defined, undefined
from grmu_audit.metrics.scores import ATTACK_SCORES, Roc, roc, standard_error
from grmu_audit.records import Group, MetricValue, Subject

FORESTS = ("MIA", "MIA_PAPER")
"""Forest attacks: balanced by subsampling, and unbalanced as published."""


@dataclass(frozen=True, eq=False)
class Attacked:
    """What the attacks say of one model, kept so that two models can be compared sample by sample."""

    calls: dict[str, Mask]
    """Per forest attack: [forget] called non-member; empty where there is no loss or a side is missing."""
    rocs: dict[str, Roc]
    """Per attack score: area under the curve of forget against unseen samples of the same groups."""
    why: str
    """Why ``calls`` is empty, or an empty string."""
    unseen: Mask
    """[n] test rows that the forget set is compared with."""
    matched: Mask
    """[n] forget rows whose group has test rows."""
    weight: Floats
    """[unseen] weights that give the unseen rows the forget set's group mix."""


def attacked(f: Facts, *, forests: bool = True) -> Attacked:
    """Run every attack that the predictions allow."""
    calls, why = _forests(f) if forests else ({}, "the forest attacks were left out")
    sides = matched_sides(f, "forget")
    matched, unseen, weight = sides.member, sides.unseen, sides.weight
    rocs: dict[str, Roc] = {}
    if matched.any():
        rocs = {name: roc(score[matched], score[unseen], weight) for name, score in f.scores.items()}
    return Attacked(calls, rocs, why, unseen, matched, weight)


def area_of(f: Facts, score: str) -> Roc:
    """Area of one attack score, forget against unseen samples of the same groups; both must have rows."""
    sides = matched_sides(f, "forget")
    return roc(f.scores[score][sides.member], f.scores[score][sides.unseen], sides.weight)


def _forests(f: Facts) -> tuple[dict[str, Mask], str]:
    """Calls of both forests, or the reason why there are none."""
    rows = {name: f.predictions.mask(name) for name in ("retain", "val", "forget")}
    missing = [name for name, mask in rows.items() if not mask.any()]
    if missing:
        return {}, f"no {' and no '.join(missing)} sample (n = 0)"
    if f.loss is None:
        return {}, "needs logits, probabilities or losses; only predicted classes are given"
    if f.scoreless:
        return {}, SCORELESS
    member, other, asked = f.loss[rows["retain"]], f.loss[rows["val"]], f.loss[rows["forget"]]
    return {name: forest_calls(member, other, asked, seed=f.seed, balanced=name == "MIA") for name in FORESTS}, ""


def privacy(f: Facts, a: Attacked, *, subject: Subject, confidence: float, attack_score: str = "margin") -> Iterator[MetricValue]:
    """MIA, MIA_PAPER and MIA_AUC.

    ``MIA`` and ``MIA_PAPER``: share of the forget set that a forest fitted on retain (member) and validation
    (non-member) losses calls non-member; range [0, 1]; read towards the value of a retrained model.  ``MIA_AUC``:
    area under the ROC curve of an attack score, forget against unseen test samples of the same groups; 0.5 means
    that the score does not tell them apart, and both sides of 0.5 leak.  Undefined without forget samples, without
    scores, or without unseen samples of the groups; the reason says which.
    """
    for name in FORESTS:
        yield _forest_value(f, a, name, subject=subject, confidence=confidence)
    yield _auc_value(f, a, attack_score, subject=subject, confidence=confidence)


def forest_basis(f: Facts) -> Basis:
    """What a forest attack's value rests on: the forget set."""
    forget = f.predictions.mask("forget")
    fitted = {"member": int(f.predictions.mask("retain").sum()), "non_member": int(f.predictions.mask("val").sum())}
    only = f.dominant[0] if len(f.dominant) == 1 else None
    details = {"seed": f.seed, "trees": 100, "criterion": "gini", **fitted}
    return Basis(int(forget.sum()), smallest_group=only, subjects=f.subjects(forget), details=details)


def _forest_value(f: Facts, a: Attacked, name: str, *, subject: Subject, confidence: float) -> MetricValue:
    basis = forest_basis(f)
    if name not in a.calls:
        return undefined(name, a.why, basis, subject=subject, confidence=confidence)
    called = a.calls[name]
    effect = design_effect(called, f.subject_of(f.predictions.mask("forget")))
    made = proportion(int(called.sum()), len(called), effect, basis.subjects)
    return defined(name, made, basis, subject=subject, confidence=confidence)


def auc_basis(f: Facts, a: Attacked, attack_score: str) -> tuple[Basis, str | None]:
    """What MIA_AUC rests on, and why it is undefined, or None."""
    codes, index = f.cells
    forget = f.predictions.mask("forget")
    lost = tuple(f.group(int(codes[c])) for c in np.unique(index[forget & ~a.matched]))
    counts = {"forget": int(a.matched.sum()), "unseen": int(a.unseen.sum())}
    details: dict[str, object] = {"attack_score": attack_score, **counts}
    details["scores"] = {name: a.rocs[name].value for name in ATTACK_SCORES if name in a.rocs}
    if attack_score in a.rocs:
        details["leakage"] = abs(a.rocs[attack_score].value - 0.5)
    size, group = _smallest(f, a)
    basis = Basis(sum(counts.values()), size, group, lost, f.subjects(a.matched | a.unseen), details)
    return basis, _why_no_auc(f, a, attack_score)


def _smallest(f: Facts, a: Attacked) -> tuple[int, Group | None]:
    """The smaller of the forget set and the smallest test cell that it is compared with."""
    codes, index = f.cells
    used, counts = np.unique(index[a.unseen], return_counts=True)
    if not len(used):
        return 0, None
    least = int(np.argmin(counts))
    size = min(int(counts[least]), int(a.matched.sum()))
    return size, f.group(int(codes[used[least]])) if size == counts[least] else None


def _why_no_auc(f: Facts, a: Attacked, attack_score: str) -> str | None:
    forget = int(f.predictions.mask("forget").sum())
    if not forget:
        return "no forget sample (n = 0)"
    if not a.matched.any():
        return f"no test sample of the forget set's groups (forget n = {forget}, unseen n = 0)"
    if f.scoreless:
        return SCORELESS
    if attack_score not in a.rocs:
        return f"the score {attack_score!r} needs logits or probabilities; they are not given"
    return None


def auc_statistic(f: Facts, a: Attacked, attack_score: str) -> Statistic:
    """Area, standard error and sizes of one attack score's curve."""
    curve = a.rocs[attack_score]
    counts = {"n1": int(a.matched.sum()), "n0": int(a.unseen.sum())}
    person = pair_subjects(f, a)
    known = {} if person is None else {"persons": len(np.unique(person))}
    return {"kind": "auc", "value": curve.value, "se": standard_error(curve.influence, person), **counts, **known}


def pair_subjects(f: Facts, a: Attacked) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None:
    """Person index of the curve's samples, positives first, or None."""
    if f.predictions.subject is None:
        return None
    return np.concatenate([f.predictions.subject[a.matched], f.predictions.subject[a.unseen]])


def _auc_value(f: Facts, a: Attacked, attack_score: str, *, subject: Subject, confidence: float) -> MetricValue:
    if attack_score not in ATTACK_SCORES:
        raise InputError(f"unknown attack score {attack_score!r}: known are {', '.join(ATTACK_SCORES)}")
    basis, why = auc_basis(f, a, attack_score)
    if why is not None:
        return undefined("MIA_AUC", why, basis, subject=subject, confidence=confidence)
    return defined("MIA_AUC", auc_statistic(f, a, attack_score), basis, subject=subject, confidence=confidence)
