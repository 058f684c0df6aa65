"""Membership attacks beyond the area: at low false-positive rates, for retained people, and group by group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from grmu_audit.intervals import Area, Proportion, RateAtThreshold, design_effect
from grmu_audit.intervals.closed_forms import Floats, clopper_pearson
from grmu_audit.intervals.operating_points import LEVELS
from grmu_audit.metrics.accuracy import suppressed_reason
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints, Mask
from grmu_audit.metrics.membership.disparity import measure_disparity
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.metrics.scores import Roc, operating_threshold, roc, threshold_shares
from grmu_audit.records import Group
from grmu_audit.records.data import SUPPRESSED_BELOW

RATES = {"MIA_TPR_1": 0.01, "MIA_TPR_01": 0.001}
"""False-positive rate of each operating point."""
CONSTANT_SCORES = "all samples have the same scores: an attack has nothing to go by"
"""Why attacks on a constant model are undefined."""
MOST_GROUPS = 256
"""Groups of the forget set up to which each gets attack results of its own."""


@dataclass(frozen=True, eq=False)
class MatchedRows:
    """Two sets of rows of the same groups: members, and unseen rows weighted to the members' group mix."""

    member: Mask
    """[n] rows of the split whose group has test rows."""
    unseen: Mask
    """[n] test rows of these groups."""
    weight: Floats
    """[unseen] weights."""
    group: Group | None = None
    """The group, where the rows are of one."""

    @property
    def reason(self) -> str:
        """Why nothing can be measured on the rows of one group, or an empty string."""
        member, unseen = int(self.member.sum()), int(self.unseen.sum())
        return "" if member and unseen else f"the group has no sample on one side (member n = {member}, unseen n = {unseen})"

    def within(self, group: Group, rows: Mask) -> MatchedRows:
        """The rows of one group; its unseen rows weigh the same."""
        unseen = self.unseen & rows
        return MatchedRows(self.member & rows, unseen, np.ones(int(unseen.sum())), group)


def match_groups(checked: CheckedPredictions, split: str) -> MatchedRows:
    """Rows of a split against test rows of the same groups; weights give these the split's group mix."""
    codes, index = checked.cells
    rows = checked.predictions.mask(split)
    wanted, seen = np.bincount(index[rows], minlength=len(codes)), checked.test_counts
    shared = (wanted > 0) & (seen > 0)
    unseen = checked.test & shared[index]
    ratio = np.where(shared, wanted / np.maximum(seen, 1), 0.0)
    return MatchedRows(rows & shared[index], unseen, ratio[index[unseen]])


def measure_exposure(checked: CheckedPredictions) -> Iterator[Outcome]:
    """MIA_TPR_1, MIA_TPR_01, RETAIN_AUC and MIA_DISPARITY, then MIA_AUC, MIA_TPR_1 and RETAIN_AUC of every group.

    A group's values are undefined where it has no row on a side, and suppressed where it has fewer than five forget rows.
    """
    forget, retain = match_groups(checked, "forget"), match_groups(checked, "retain")
    reason = why_no_score(checked)
    no_forget, no_retain = (reason or _why_no_rows(checked, *side) for side in (("forget", forget), ("retain", retain)))
    for name in RATES:
        yield _rate(checked, forget, name, no_forget)
    yield _area(checked, retain, "RETAIN_AUC", no_retain)
    yield measure_disparity(checked, forget.member, forget.unseen, no_forget)
    yield from _per_group(checked, forget, retain, reason)


def why_no_score(checked: CheckedPredictions) -> str:
    """Why the attack score of the options is of no use, or an empty string."""
    if checked.has_constant_scores:
        return CONSTANT_SCORES
    name = checked.options.attack_score
    return "" if checked.score(name) is not None else f"the score {name!r} needs logits or probabilities; they are not given"


def _why_no_rows(checked: CheckedPredictions, split: str, matched: MatchedRows) -> str:
    rows = int(checked.predictions.mask(split).sum())
    if not rows:
        return f"no {split} sample (n = 0)"
    return "" if matched.member.any() else f"no test sample of the {split} set's groups ({split} n = {rows}, unseen n = 0)"


def _basis(checked: CheckedPredictions, rows: MatchedRows, details: dict[str, object]) -> Basis:
    member, unseen = int(rows.member.sum()), int(rows.unseen.sum())
    details = {"attack_score": checked.options.attack_score, **details, "member": member, "unseen": unseen}
    return Basis(member + unseen, min(member, unseen), rows.group, (), checked.persons(rows.member | rows.unseen), details)


def _rate(checked: CheckedPredictions, rows: MatchedRows, name: str, reason: str) -> Outcome:
    """Share of the forget rows above the lowest threshold that at most RATES[name] of the unseen rows reach."""
    rate = RATES[name]
    basis = _basis(checked, rows, {"fpr": rate})
    resolved = float(rows.weight.sum() ** 2 / (rows.weight**2).sum()) if len(rows.weight) else 0.0
    if not reason and not resolved * rate >= 1:
        reason = f"{resolved:,.0f} effective unseen samples cannot resolve a false-positive rate of {rate:.1%}"
    if reason:
        return Outcome.missing(name, reason, basis, rows.group)
    values = checked.scores[checked.options.attack_score]
    threshold, reached = operating_threshold(values[rows.unseen], rows.weight, rate)
    basis.details["reached_fpr"] = reached
    basis.details["fpr_interval"] = list(clopper_pearson(reached * resolved, resolved, checked.options.confidence))
    above = values[rows.member] > threshold
    if checked.options.interval_forms < 2:
        called = Proportion.of(above, checked.person_of(rows.member))
        return Outcome(name, basis, called.by_method("clopper-pearson"), group=rows.group)
    effective = resolved / design_effect(values[rows.unseen] > threshold, checked.person_of(rows.unseen))
    shares = threshold_shares(values[rows.member], values[rows.unseen], rows.weight, rate, effective)
    units = checked.forget_unit(rows.member), None
    found, these = (RateAtThreshold(Proportion.of(above, unit).exact(), LEVELS, *shares) for unit in units)
    alone = these if checked.predictions.subject is not None else None
    return Outcome(name, basis, found, group=rows.group, these_people=alone)


def area_units(checked: CheckedPredictions, member: Mask, unseen: Mask) -> tuple[Ints | None, Ints | None]:
    """Person index of both sides of a curve; None where samples are the unit, as those of one person alone are."""
    return checked.forget_unit(member), checked.person_of(unseen)


def forget_area(checked: CheckedPredictions, curve: Roc, member: Mask, unseen: Mask) -> tuple[Area, Area | None]:
    """Area of a curve whose positives are ``member`` rows, and that about these people alone where people are known."""
    if checked.options.interval_forms < 2:
        return curve.area(checked.person_of(member), checked.person_of(unseen)), None
    sides = area_units(checked, member, unseen)
    known = checked.predictions.subject is not None
    return curve.effective_area(*sides), curve.effective_area(None, sides[1]) if known else None


def _area(checked: CheckedPredictions, rows: MatchedRows, name: str, reason: str) -> Outcome:
    basis = _basis(checked, rows, {})
    if reason:
        return Outcome.missing(name, reason, basis, rows.group)
    values = checked.scores[checked.options.attack_score]
    curve = roc(values[rows.member], values[rows.unseen], rows.weight)
    basis.details["leakage"] = abs(curve.value - 0.5)
    area, these = forget_area(checked, curve, rows.member, rows.unseen)
    return Outcome(name, basis, area, group=rows.group, these_people=these if name != "RETAIN_AUC" else None)


def _per_group(checked: CheckedPredictions, forget: MatchedRows, retain: MatchedRows, reason: str) -> Iterator[Outcome]:
    codes, index = checked.cells
    forgotten = np.bincount(index[checked.predictions.mask("forget")], minlength=len(codes))
    found = np.flatnonzero(forgotten).tolist()
    for position in found if len(found) <= MOST_GROUPS else []:
        group, rows = checked.group(int(codes[position])), index == position
        small = suppressed_reason() if forgotten[position] < SUPPRESSED_BELOW else ""
        forgot, retained = forget.within(group, rows), retain.within(group, rows)
        yield _area(checked, forgot, "MIA_AUC", reason or small or forgot.reason)
        yield _rate(checked, forgot, "MIA_TPR_1", reason or small or forgot.reason)
        yield _area(checked, retained, "RETAIN_AUC", reason or retained.reason)
