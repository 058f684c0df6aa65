"""DELETION_AUC: what somebody who holds the version before and the version after can tell of who was deleted.

The attack sees both versions' outputs for a sample and asks: was it in the forget set, or is it a retained sample of the same
group?  Its score is the fall of the scaled margin from before to after, s = m_before / scale_before - m_after / scale_after,
with m = log p_y - log(1 - p_y) and the scale the mean size of m over unseen samples: an unlearned sample has lost more than a
retained one of its group.  Samples are compared as for the forgetting share (``contrast.choose_arm``): with retained
samples of a group that keeps at least 20, else with unseen ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from grmu_audit.intervals import Area
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints, Mask
from grmu_audit.metrics.forgetting.contrast import (
    LEAST_FORGET,
    Arm,
    ScaledMargins,
    choose_arm,
    describe_basis,
    mask_unseen,
    why_too_small,
)
from grmu_audit.metrics.outcome import NEEDS_BEFORE, Outcome
from grmu_audit.metrics.scores import Roc, change_of_areas, normal_change_of_areas, roc
from grmu_audit.records import Group
from grmu_audit.records.metric_value import BASELINE, CANDIDATE, Subject

NAME = "DELETION_AUC"


def compare_versions(models: Mapping[Subject, CheckedPredictions]) -> dict[Subject, tuple[Outcome, ...]]:
    """DELETION_AUC of the candidate and of every reference against the version before, and the changes to each reference.

    Args:
        models: every model of an audit, rows in the same order.
    """
    before = models.get(BASELINE)
    if before is None:
        return {CANDIDATE: (Outcome.missing(NAME, NEEDS_BEFORE, describe_basis(models[CANDIDATE])),)}
    others = [subject for subject in models if subject not in (BASELINE, CANDIDATE)]
    attacks = {subject: _Attack(models[subject], before) for subject in (CANDIDATE, *others)}
    found = {subject: tuple(attack.outcomes()) for subject, attack in attacks.items()}
    changes = {other.as_change(): (_change(attacks[CANDIDATE], attacks[other]),) for other in others}
    return found | changes


def attack_deletion(after: CheckedPredictions, before: CheckedPredictions) -> tuple[Outcome, ...]:
    """DELETION_AUC over the forget set, then of every group with at least 20 people in it.

    Area under the ROC curve of the score above, forget samples against comparison samples that are weighted to the forget
    set's mix of groups.  Range [0, 1]; 0.5 where the two versions together do not tell who was deleted; below 0.5 they tell,
    too.  Details: how many forget samples were compared with retained and with unseen samples, and for the whole the areas of
    two other scores, the size of the change and the margin after unlearning alone.  The interval is that of MIA_AUC, by person;
    it holds the two scales fixed.  Undefined, with the reason, without margins, with fewer than 20 people in the forget set,
    without comparison samples, and where all outputs of a model are equal.

    Args:
        after: the model after unlearning.
        before: the model before unlearning, rows in the same order.

    Source: Chen et al. (2021), When Machine Unlearning Jeopardizes Privacy; the score is this tool's.
    """
    return tuple(_Attack(after, before).outcomes())


@dataclass(frozen=True, eq=False)
class _Attacked:
    """Forget samples and those that they are compared with, told apart by the fall of the scaled margin."""

    arm: Arm
    curve: Roc


@dataclass(frozen=True, eq=False)
class _Attack:
    """Both versions of a model."""

    after: CheckedPredictions
    before: CheckedPredictions

    def outcomes(self) -> Iterator[Outcome]:
        """Over everything, then group by group."""
        forget = self.after.predictions.mask("forget")
        yield self._outcome(self.whole, forget, None)
        codes, index = self.after.cells
        counts = np.bincount(index[forget], minlength=len(codes))
        for cell in np.flatnonzero(counts >= LEAST_FORGET).tolist():
            rows = forget & (index == cell)
            yield self._outcome(self.attacked(rows), rows, self.after.group(int(codes[cell])))

    def _outcome(self, attacked: str | _Attacked, forget: Mask, group: Group | None) -> Outcome:
        basis = replace(describe_basis(self.after, forget), smallest_group=group)
        if isinstance(attacked, str):
            return Outcome.missing(NAME, attacked, basis, group)
        arm, score, margin = attacked.arm, self.score, self.after.margin
        assert score is not None
        assert margin is not None
        others = {"area_of_the_size_of_the_change": np.abs(score), "area_of_the_margin_after": margin} if group is None else {}
        details = {**arm.kinds, **{name: _curve(arm, other).value for name, other in others.items()}}
        left_out = tuple(map(self.after.group, arm.left_out))
        basis = replace(basis, smallest_cell=arm.smaller_side, empty_cells=left_out, details=details)
        return Outcome(NAME, basis, self.area(attacked), group=group)

    @cached_property
    def whole(self) -> str | _Attacked:
        """The attack on the whole forget set, or why it is undefined."""
        return self.attacked(self.after.predictions.mask("forget"))

    def attacked(self, forget: Mask) -> str | _Attacked:
        """The attack on a part of the forget set, or why it is undefined."""
        if self.after.margin is None or self.before.margin is None:
            return "the margin needs logits or probabilities; they are not given"
        if small := why_too_small(self.after, forget):
            return small
        arm = choose_arm(self.after, forget)
        if not len(arm.forget):
            return "no retained and no unseen sample of the forget set's groups"
        return "all outputs of a model are equal" if self.score is None else _Attacked(arm, _curve(arm, self.score))

    def area(self, attacked: _Attacked) -> Area:
        """The area with its limits."""
        if self.after.options.interval_forms > 1:
            return attacked.curve.effective_area(*self.people(attacked.arm))
        return attacked.curve.area(*self.people(attacked.arm))

    @cached_property
    def score(self) -> Floats | None:
        """[n] fall of the scaled margin; None where all outputs of a version are equal."""
        assert self.after.margin is not None
        assert self.before.margin is not None
        unseen = mask_unseen(self.after)
        before, after = (ScaledMargins.of(margin, unseen) for margin in (self.before.margin, self.after.margin))
        return None if before is None or after is None else before.values - after.values

    def people(self, arm: Arm) -> tuple[Ints | None, Ints | None]:
        """Person of each forget and of each comparison sample; None where samples are the unit."""
        person = self.after.predictions.subject
        return (None, None) if person is None else (person[arm.forget], person[arm.comparison])


def _change(candidate: _Attack, other: _Attack) -> Outcome:
    """Area of the candidate minus a reference's on the same samples; influences are paired (DeLong)."""
    basis = describe_basis(candidate.after)
    left, right = candidate.whole, other.whole
    if isinstance(left, str) or isinstance(right, str):
        return Outcome.missing(NAME, left if isinstance(left, str) else str(right), basis)
    left_out = tuple(map(candidate.after.group, left.arm.left_out))  # the same of both models: it follows from the rows
    basis = replace(basis, smallest_cell=left.arm.smaller_side, empty_cells=left_out)
    if candidate.after.options.interval_forms > 1:
        return Outcome(NAME, basis, change_of_areas(left.curve, right.curve, *candidate.people(left.arm)))
    change = normal_change_of_areas(left.curve, right.curve, *candidate.people(left.arm))
    return Outcome(NAME, basis, replace(change, right=other.area(right)))  # of the other's own people, as it was measured then


def _curve(arm: Arm, score: Floats) -> Roc:
    return roc(score[arm.forget], score[arm.comparison], arm.weight)
