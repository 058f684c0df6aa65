"""What membership attacks find beyond the area: at low false-positive rates, for retained people, and group by group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from grmu_audit.intervals.closed_forms import Floats, clopper_pearson
from grmu_audit.intervals.combined import with_method
from grmu_audit.intervals.design_effects import design_effect
from grmu_audit.intervals.proportions import proportion
from grmu_audit.intervals.statistic import Statistic
from grmu_audit.metrics.checked_predictions import Facts, Mask
from grmu_audit.metrics.membership.disparity import disparity
from grmu_audit.metrics.outcome import Basis, defined, undefined
from grmu_audit.metrics.scores import operating_threshold, roc, standard_error
from grmu_audit.records import SUPPRESSED_BELOW, Group, MetricValue, Subject

RATES = {"MIA_TPR_1": 0.01, "MIA_TPR_01": 0.001}
"""False-positive rate of each operating point."""
SCORELESS = "all samples have the same scores: an attack has nothing to go by"
"""Why attacks on a constant model are undefined."""
MOST_GROUPS = 256
"""Groups of the forget set up to which each gets attack results of its own."""


class _Choice(TypedDict):
    subject: Subject
    confidence: float


@dataclass(frozen=True, eq=False)
class Sides:
    """Two sets of rows of the same groups: members, and unseen rows weighted to the members' group mix."""

    member: Mask
    """[n] rows of the split whose group has test rows."""
    unseen: Mask
    """[n] test rows of these groups."""
    weight: Floats
    """[unseen] weights."""


def matched_sides(f: Facts, split: str) -> Sides:
    """Rows of a split against test rows of the same groups; weights give these the split's group mix."""
    codes, index = f.cells
    rows = f.predictions.mask(split)
    asked, seen = np.bincount(index[rows], minlength=len(codes)), f.test_counts
    shared = (asked > 0) & (seen > 0)
    unseen = f.test & shared[index]
    ratio = np.where(shared, asked / np.maximum(seen, 1), 0.0)
    return Sides(rows & shared[index], unseen, ratio[index[unseen]])


def exposure(f: Facts, *, subject: Subject, confidence: float, attack_score: str = "margin") -> Iterator[MetricValue]:
    """MIA_TPR_1, MIA_TPR_01, RETAIN_AUC and MIA_DISPARITY, then MIA_AUC, MIA_TPR_1 and RETAIN_AUC of every group.

    A group's values are undefined where it has no row on a side, and not told where it has fewer than five forget rows.
    """
    asked, kept = matched_sides(f, "forget"), matched_sides(f, "retain")
    why = _why(f, attack_score)
    choice: _Choice = {"subject": subject, "confidence": confidence}
    for name in RATES:
        yield _rate_value(f, asked, name, why or _none(f, "forget"), attack_score, None, **choice)
    yield _area_value(f, kept, "RETAIN_AUC", why or _none(f, "retain"), attack_score, None, **choice)
    yield disparity(f, asked.member, asked.unseen, why or _none(f, "forget"), attack_score, fewest=SUPPRESSED_BELOW, **choice)
    yield from _per_group(f, asked, kept, why, attack_score, **choice)


def _why(f: Facts, attack_score: str) -> str | None:
    if f.scoreless:
        return SCORELESS
    if attack_score in f.scores:
        return None
    return f"the score {attack_score!r} needs logits or probabilities; they are not given"


def _none(f: Facts, split: str) -> str | None:
    rows = int(f.predictions.mask(split).sum())
    if not rows:
        return f"no {split} sample (n = 0)"
    if not matched_sides(f, split).member.any():
        return f"no test sample of the {split} set's groups ({split} n = {rows}, unseen n = 0)"
    return None


def _basis(f: Facts, sides: Sides, group: Group | None, details: dict[str, object]) -> Basis:
    member, unseen = int(sides.member.sum()), int(sides.unseen.sum())
    details = {**details, "member": member, "unseen": unseen}
    return Basis(member + unseen, min(member, unseen), group, (), f.subjects(sides.member | sides.unseen), details)


def _rate_value(
    f: Facts, s: Sides, name: str, why: str | None, score: str, group: Group | None, *, subject: Subject, confidence: float
) -> MetricValue:
    """Share of the forget rows above the lowest threshold that at most RATES[name] of the unseen rows reach."""
    rate = RATES[name]
    basis = _basis(f, s, group, {"attack_score": score, "fpr": rate})
    resolved = float(s.weight.sum() ** 2 / (s.weight**2).sum()) if len(s.weight) else 0.0
    if why is None and not resolved * rate >= 1:
        why = f"{resolved:,.0f} effective unseen samples cannot resolve a false-positive rate of {rate:.1%}"
    if why is not None:
        return undefined(name, why, basis, subject=subject, confidence=confidence, group=group)
    values = f.scores[score]
    threshold, reached = operating_threshold(values[s.unseen], s.weight, rate)
    called = values[s.member] > threshold
    effect = design_effect(called, f.subject_of(s.member))
    made = with_method(proportion(int(called.sum()), len(called), effect, f.subjects(s.member)), "clopper-pearson")
    basis.details["reached_fpr"] = reached
    basis.details["fpr_interval"] = list(clopper_pearson(reached * resolved, resolved, confidence))
    return defined(name, made, basis, subject=subject, confidence=confidence, group=group)


def _area_value(
    f: Facts, s: Sides, name: str, why: str | None, score: str, group: Group | None, *, subject: Subject, confidence: float
) -> MetricValue:
    basis = _basis(f, s, group, {"attack_score": score})
    if why is not None:
        return undefined(name, why, basis, subject=subject, confidence=confidence, group=group)
    statistic = area_statistic(f, s, score)
    basis.details["leakage"] = abs(statistic["value"] - 0.5)
    return defined(name, statistic, basis, subject=subject, confidence=confidence, group=group)


def area_statistic(f: Facts, s: Sides, score: str) -> Statistic:
    """Area, standard error and sizes of one attack score's curve between two sets of rows."""
    values = f.scores[score]
    curve = roc(values[s.member], values[s.unseen], s.weight)
    subject = f.predictions.subject
    person = None if subject is None else np.concatenate([subject[s.member], subject[s.unseen]])
    known = {} if person is None else {"persons": len(np.unique(person))}
    counts = {"n1": int(s.member.sum()), "n0": int(s.unseen.sum())}
    return {"kind": "auc", "value": curve.value, "se": standard_error(curve.influence, person), **counts, **known}


def _per_group(
    f: Facts, asked: Sides, kept: Sides, why: str | None, score: str, *, subject: Subject, confidence: float
) -> Iterator[MetricValue]:
    codes, index = f.cells
    forgotten = np.bincount(index[f.predictions.mask("forget")], minlength=len(codes))
    found = np.flatnonzero(forgotten).tolist()
    for position in found if len(found) <= MOST_GROUPS else []:
        group = f.group(int(codes[position]))
        rows = index == position
        small = forgotten[position] < SUPPRESSED_BELOW
        few = f"fewer than {SUPPRESSED_BELOW} forget samples of the group: suppressed" if small else None
        choice: _Choice = {"subject": subject, "confidence": confidence}
        mine, others = _within(asked, rows), _within(kept, rows)
        yield _area_value(f, mine, "MIA_AUC", why or few or _empty(mine), score, group, **choice)
        yield _rate_value(f, mine, "MIA_TPR_1", why or few or _empty(mine), score, group, **choice)
        yield _area_value(f, others, "RETAIN_AUC", why or _empty(others), score, group, **choice)


def _within(s: Sides, rows: Mask) -> Sides:
    """The rows of one group; its unseen rows weigh the same."""
    unseen = s.unseen & rows
    return Sides(s.member & rows, unseen, np.ones(int(unseen.sum())))


def _empty(s: Sides) -> str | None:
    member, unseen = int(s.member.sum()), int(s.unseen.sum())
    return None if member and unseen else f"the group has no sample on one side (member n = {member}, unseen n = {unseen})"
