"""FORGET_SHARE: how much of the change that retraining makes to the forget set a model has made.

For a model X, with the margin m = log p_y - log(1 - p_y) divided by its mean size over unseen samples (so that sharper or
flatter outputs count for nothing), the change on the forget set F against comparison samples C of the same groups is

    D(X) = mean over F of (m_X - m_before) - mean over C of (m_X - m_before),      C weighted to F's mix of groups

and the share is D(candidate) / D(reference): 0 as before, 1 as retrained.  The comparison samples of a group are its retained
samples where it keeps at least 20 (arm R: before the request they were like F, so that whatever changes both alike cancels),
else its unseen samples, validation and test (arm U).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from grmu_audit.intervals.areas import t_scaled_error
from grmu_audit.intervals.closed_forms import Floats, z_value
from grmu_audit.intervals.ratio import Ratio
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Mask
from grmu_audit.metrics.forgetting.contrast import (
    LEAST_FORGET,
    Arm,
    Change,
    ScaledMargins,
    choose_arm,
    describe_basis,
    mask_unseen,
    retained_arm,
    scaled_change,
    why_too_small,
)
from grmu_audit.metrics.outcome import NEEDS_BEFORE, Outcome
from grmu_audit.metrics.scores import roc
from grmu_audit.records import Group
from grmu_audit.records.metric_value import BASELINE, CANDIDATE, Subject

NAME = "FORGET_SHARE"
DECIDING_SIZE = "forget_samples_that_would_decide"
"""Field of the details where no trace could be measured; None where more samples are not known to help."""
LARGEST_MARGIN = 30.0
"""Margins are cut here: beyond it a probability that was stored as 0 or 1 says nothing more."""
SMALL_REQUEST = "retraining (exact evidence), serving it together with other requests, or an audit at level deep would help"
"""What is left for a request that is too small for the share."""
TRACE_ALPHA = 0.10
"""Two-sided error at which the reference's own change must be below 0: one-sided 95 %."""
_POWER = 0.80
_SHOWN = 0.05


def compare_forgetting(
    models: Mapping[Subject, CheckedPredictions], primary: Sequence[Subject]
) -> Iterator[tuple[Subject, tuple[Outcome, ...]]]:
    """FORGET_SHARE of the candidate against the mean of the primary references, and of each of these against the others.

    Args:
        models: every model of an audit, rows in the same order.
        primary: the references that count.
    """
    baseline = models.get(BASELINE)
    if baseline is None:
        yield CANDIDATE, (Outcome.missing(NAME, NEEDS_BEFORE, describe_basis(models[CANDIDATE])),)
        return
    references = {subject: models[subject] for subject in primary}
    yield CANDIDATE, measure_shares(models[CANDIDATE], baseline, references)
    for subject in references if len(references) > 1 else ():
        others = {other: model for other, model in references.items() if other != subject}
        yield subject, (measure_share(models[subject], baseline, others),)


def measure_share(
    candidate: CheckedPredictions, before: CheckedPredictions, references: Mapping[Subject, CheckedPredictions]
) -> Outcome:
    """FORGET_SHARE of a model over the whole forget set.

    Range: 0 as before, 1 as retrained; below 0 and above 1 are possible.  Undefined, with the reason, without references or
    margins, with fewer than 20 people in the forget set, and where the references' own change is not surely below 0 (one-sided
    95 %): the request left no trace that could be measured, and the number of samples that would decide is named.

    Args:
        candidate: the model.
        before: the model before unlearning, rows in the same order.
        references: retrained models, rows in the same order; their mean is compared with.

    Source: difference in differences of margins (Carlini et al. 2022) with Fieller's limits.
    """
    return _Models(candidate, before, tuple(references.values())).outcome(candidate.predictions.mask("forget"), None)


def share_on(
    forget: Mask, candidate: CheckedPredictions, before: CheckedPredictions, references: Sequence[CheckedPredictions]
) -> Outcome:
    """FORGET_SHARE on a part of the forget set; see ``measure_share``.

    Args:
        forget: [n] the part.
        candidate: the model.
        before: the model before the request that named the part.
        references: models that were retrained without it.
    """
    return _Models(candidate, before, tuple(references)).outcome(forget, None)


def measure_shares(
    candidate: CheckedPredictions, before: CheckedPredictions, references: Mapping[Subject, CheckedPredictions]
) -> tuple[Outcome, ...]:
    """FORGET_SHARE over the whole forget set with the share by other scores and comparisons (``details``), then of every group
    with at least 20 people in the forget set; see ``measure_share``."""
    forget = candidate.predictions.mask("forget")
    codes, index = candidate.cells
    counts = np.bincount(index[forget], minlength=len(codes))
    groups = [candidate.group(int(codes[cell])) for cell in np.flatnonzero(counts >= LEAST_FORGET)]
    models = _Models(candidate, before, tuple(references.values()))
    whole = models.outcome(forget, None)
    if whole.statistic is not None or "trace" in whole.basis.details:
        whole.basis.details["variants"] = models.variants(forget)
    return (whole, *(models.outcome(forget & candidate.rows((g,)), g) for g in groups))


@dataclass(frozen=True, eq=False)
class _Models:
    """The models whose margins are compared."""

    candidate: CheckedPredictions
    before: CheckedPredictions
    references: tuple[CheckedPredictions, ...]

    def outcome(self, forget: Mask, group: Group | None) -> Outcome:
        """The share on these forget samples."""
        basis = replace(describe_basis(self.candidate, forget), smallest_group=group)
        reason = self._obstacle(forget)
        arm = None if reason else choose_arm(self.candidate, forget)
        if arm is None or not len(arm.forget):
            return Outcome.missing(NAME, reason or "no retained and no unseen sample of the forget set's groups", basis, group)
        basis = replace(basis, empty_cells=tuple(map(self.candidate.group, arm.left_out)))
        changes = self._changes(arm, scaled=True)
        if changes is None:
            return Outcome.missing(NAME, "all outputs of a model are equal", basis, group)
        share = self._ratio(forget, *changes)
        details: dict[str, Any] = {**arm.kinds, "references": len(self.references), "trace": share.denominator}
        details["trace_standard_error"] = math.sqrt(share.denominator_variance)
        details["of_each_reference"] = [self._among_references(changes[1], one) for one in range(len(self.references))]
        reason = ""
        if not _has_trace(share):
            details[DECIDING_SIZE] = _deciding_size(share, basis.n)
            reason = _why_no_trace(share, details[DECIDING_SIZE])
        basis = replace(basis, details=details)
        return Outcome(NAME, basis, None if reason else share, reason, group)

    def _obstacle(self, forget: Mask) -> str:
        if not self.references:
            return "no reference model was given: it takes a retrained model to know what forgetting would change"
        if any(model.margin is None for model in (self.candidate, self.before, *self.references)):
            return "the margin needs logits or probabilities; they are not given"
        small = why_too_small(self.candidate, forget)
        return f"{small}: {SMALL_REQUEST}" if small else ""

    @cached_property
    def _margins(self) -> list[Floats]:
        margins = (model.margin for model in (self.before, self.candidate, *self.references))
        return [np.clip(margin, -LARGEST_MARGIN, LARGEST_MARGIN) for margin in margins if margin is not None]

    @cached_property
    def _scaled(self) -> list[ScaledMargins] | None:
        unseen = mask_unseen(self.candidate)
        found = [ScaledMargins.of(margins, unseen) for margins in self._margins]
        known = [margins for margins in found if margins is not None]
        return known if len(known) == len(found) else None

    def _changes(self, arm: Arm, *, scaled: bool) -> tuple[Change, list[Change]] | None:
        """D of the candidate and of every reference; None where a model's outputs are all equal."""
        if not scaled:
            found = [arm.contrast(margins - self._margins[0]) for margins in self._margins[1:]]
        elif self._scaled is None:
            return None
        else:
            found = [scaled_change(arm, self._scaled[0], margins) for margins in self._scaled[1:]]
        return found[0], found[1:]

    def _ratio(self, forget: Mask, candidate: Change, references: Sequence[Change]) -> Ratio:
        """The share, with influences summed by person."""
        mean = float(np.mean([change.value for change in references]))
        both = np.stack([candidate.influence, np.mean([change.influence for change in references], axis=0)], axis=1)
        person = self.candidate.predictions.subject
        if person is not None:
            cluster = np.unique(person, return_inverse=True)[1]
            both = np.stack([np.bincount(cluster, weights=column) for column in both.T], axis=1)
        people = self.candidate.persons(forget)
        return Ratio.of((candidate.value, mean), both, int(forget.sum()) if people is None else people)

    def _among_references(self, changes: Sequence[Change], one: int) -> float | None:
        """The share of one reference against the mean of the others; None where it is the only one."""
        others = [change.value for number, change in enumerate(changes) if number != one]
        mean = float(np.mean(others)) if others else 0.0
        return changes[one].value / mean if mean else None

    def variants(self, forget: Mask) -> dict[str, Any]:
        """The share by other scores and comparisons, for reading only: estimate and 95 % limits, or None."""
        arms = {name: choose_arm(self.candidate, forget, name) for name in ("R", "U")}
        found: dict[str, Any] = {}
        for name, arm in arms.items():
            if len(arm.forget) == int(forget.sum()):
                found[f"scaled margin, {name}"] = self._summarise(forget, self._changes(arm, scaled=True))
                found[f"margin, {name}"] = self._summarise(forget, self._changes(arm, scaled=False))
                found[f"rank, {name}"] = self._summarise(forget, self._ranks(arm))
        others = retained_arm(self.candidate)
        if "scaled margin, U" in found and len(others.forget):
            changes = self._changes(arms["U"], scaled=True), self._changes(others, scaled=True)
            found["scaled margin, T"] = self._summarise(forget, _minus(*changes))
        return found

    def _ranks(self, arm: Arm) -> tuple[Change, list[Change]]:
        """Changes of the area under the curve of margins, forget against comparison samples."""
        found = []
        for margins in self._margins:
            influence = np.zeros(arm.rows)
            curve = roc(margins[arm.forget], margins[arm.comparison], arm.weight)
            influence[arm.forget], influence[arm.comparison] = curve.positive, curve.negative
            found.append(Change(curve.value, influence))
        changed = [Change(one.value - found[0].value, one.influence - found[0].influence) for one in found[1:]]
        return changed[0], changed[1:]

    def _summarise(self, forget: Mask, changes: tuple[Change, Sequence[Change]] | None) -> dict[str, Any] | None:
        if changes is None:
            return None
        share = self._ratio(forget, *changes)
        limits = share.limits(_SHOWN) if _has_trace(share) else None
        return {"value": share.estimate, "interval": list(limits)} if limits else None


def _minus(
    one: tuple[Change, Sequence[Change]] | None, other: tuple[Change, Sequence[Change]] | None
) -> tuple[Change, Sequence[Change]] | None:
    if one is None or other is None:
        return None
    pairs = zip((one[0], *one[1]), (other[0], *other[1]), strict=True)
    found = [Change(a.value - b.value, a.influence - b.influence) for a, b in pairs]
    return found[0], found[1:]


def _has_trace(share: Ratio) -> bool:
    """Whether the references' own change is below 0, one-sided 95 %."""
    se = t_scaled_error(math.sqrt(share.denominator_variance), share.persons, TRACE_ALPHA)
    return share.denominator + z_value(TRACE_ALPHA) * se < 0


def _deciding_size(share: Ratio, n: int) -> int | None:
    """Forget samples that would show the trace, if it is as large as it seems; None where there is none to be seen."""
    trace, se = share.denominator, math.sqrt(share.denominator_variance)
    if not trace < 0:
        return None
    return math.ceil(n * ((z_value(TRACE_ALPHA) + z_value(2 * (1 - _POWER))) * se / trace) ** 2)


def _why_no_trace(share: Ratio, need: int | None) -> str:
    trace, se = share.denominator, math.sqrt(share.denominator_variance)
    seen = f"no measurable trace: retraining changes the forget set by {trace:.3f} (standard error {se:.3f}) against the others"
    if need is None:
        return f"{seen}, which is no loss, so that more samples are not known to help"
    return f"{seen}; about {need:,} forget samples would decide at the present estimate"
