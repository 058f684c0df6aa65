"""Does what was forgotten come back?  Accuracy on the forget set after changes of the weights that read none of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grmu_audit.intervals import PairedCounts, Proportion, Replicated
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Mask, row_positions
from grmu_audit.metrics.forgetting.contrast import describe_basis
from grmu_audit.metrics.forgetting.share import measure_share
from grmu_audit.metrics.outcome import NEEDS_BEFORE, Basis, Outcome
from grmu_audit.metrics.white_box.representation import Model, groups_of
from grmu_audit.records.metric_value import BASELINE, CANDIDATE, Subject
from grmu_audit.records.white_box import FINE_TUNING, MIXING, MIXTURES, PRUNED, WhiteBoxOutputs, epoch_name, mixture_name

RETURN_ACC, RETURN_SHARE = "RETURN_ACC", "RETURN_SHARE"
CHANGED = {"RETURN_INT8": "int8", "RETURN_INT4": "int4", "RETURN_PRUNED": PRUNED}
"""Metric to the name of the changed weights."""
_SHOWN = 0.05


def measure_durability(model: Model, before: Model | None) -> Iterator[Outcome]:
    """``RETURN_ACC``, ``RETURN_INT8``, ``RETURN_INT4``, ``RETURN_PRUNED``, ``WEIGHT_DISTANCE``, ``LMC_BARRIER`` of one model.

    ``RETURN_ACC``: accuracy on the forget set after the last epoch of fine-tuning on the retain set alone; ``RETURN_INT8``,
    ``RETURN_INT4``, ``RETURN_PRUNED``: after rounding the weights to 8 or 4 bits, and after magnitude pruning.  Range [0, 1],
    over everything and per group; limits by person.  Details: accuracy before (``start``), the rise with its paired interval, and
    for ``RETURN_ACC`` the whole ``curve``: accuracy and limits from epoch 0 on.  Read towards a retrained model's value: much
    above it the weights still held the forget set.

    ``WEIGHT_DISTANCE``: Euclidean distance of the parameters to those of the version before, over the length of the latter; no
    sampling error.  ``LMC_BARRIER``: how much more often unseen samples are wrong on the straight line to the version before
    than the straight line between the two error rates says, at the worst of three mixtures, in [-1, 1].

    Undefined, with the reason, without forget samples, where the fine-tuning was not run or diverged, and the last two without a
    version before of the same architecture.  Nothing where it was not part of what was collected.

    Args:
        model: predictions of a model, and what was collected of it.
        before: the same of the version before; None for that version itself, or where there is none.

    Sources: Siddiqui et al. (2025, arXiv 2505.22310); Zhang et al. (2024, arXiv 2410.16454); Frankle et al. (2020).
    """
    checked, outputs = model
    if not outputs.changed and FINE_TUNING not in outputs.missing:
        return
    yield from _after_fine_tuning(checked, outputs)
    for metric, change in CHANGED.items():
        if change in outputs.changed:
            yield from _accuracies(metric, checked, _right(checked, outputs, change), {})
    yield from _against_before(checked, outputs, before)


def _after_fine_tuning(checked: CheckedPredictions, outputs: WhiteBoxOutputs) -> Iterator[Outcome]:
    last = epochs_of(outputs)
    if last:
        curve = [_right(checked, outputs, epoch_name(epoch)) for epoch in range(last + 1)]
        yield from _accuracies(RETURN_ACC, checked, curve[-1], {"curve": [_point(checked, right) for right in curve]})
    elif FINE_TUNING in outputs.missing:
        yield Outcome.missing(RETURN_ACC, outputs.missing[FINE_TUNING].text, describe_basis(checked))


def epochs_of(outputs: WhiteBoxOutputs) -> int:
    """Epochs of fine-tuning that were collected."""
    return sum(name.startswith(epoch_name(0)[:-1]) for name in outputs.changed) - 1 if epoch_name(0) in outputs.changed else 0


def _right(checked: CheckedPredictions, outputs: WhiteBoxOutputs, change: str) -> Mask:
    """[n] whether each sample is right after a change, rows in the order of the predictions."""
    order = row_positions(checked.predictions.ids, outputs)
    right: Mask = outputs.changed[change].prediction[order] == checked.predictions.target
    return right


def _point(checked: CheckedPredictions, right: Mask) -> list[float] | None:
    """Accuracy on the forget set with its limits."""
    rows = checked.predictions.mask("forget")
    limits = Proportion.of(right[rows], checked.person_of(rows)).interval(checked.options.confidence) if rows.any() else None
    return [float(right[rows].mean()), *limits] if limits else None


def _accuracies(metric: str, checked: CheckedPredictions, right: Mask, details: Mapping[str, Any]) -> Iterator[Outcome]:
    """Accuracy on the forget set, then group by group where there is more than one."""
    forget = checked.predictions.mask("forget")
    if not forget.any():
        yield Outcome.missing(metric, "no forget sample (n = 0)", describe_basis(checked, forget))
        return
    for group in (None, *groups_of(checked, forget)):
        rows = forget if group is None else forget & checked.rows((group,))
        person = checked.person_of(rows)
        rise = PairedCounts.of(right[rows], checked.correct[rows], person)
        limits = rise.interval(checked.options.confidence)
        more = {"start": float(checked.correct[rows].mean()), "rise": rise.estimate, "rise_interval": limits}
        basis = replace(
            describe_basis(checked, rows), smallest_group=group, details={**more, **(details if group is None else {})}
        )
        yield Outcome(metric, basis, Proportion.of(right[rows], person), group=group)


def _against_before(checked: CheckedPredictions, outputs: WhiteBoxOutputs, before: Model | None) -> Iterator[Outcome]:
    basis = describe_basis(checked, checked.test)
    if MIXING in outputs.missing:
        yield from (Outcome.missing(name, outputs.missing[MIXING].text, basis) for name in ("WEIGHT_DISTANCE", "LMC_BARRIER"))
        return
    if outputs.distance is not None:
        everything = Basis(len(checked.predictions), persons=checked.persons(checked.predictions.split >= 0))
        yield Outcome("WEIGHT_DISTANCE", everything, Replicated(outputs.distance, 0.0, 1, low=0.0))
    if before is not None and all(mixture_name(share) in outputs.changed for share in MIXTURES):
        yield (
            _barrier(checked, outputs, before[0]) if basis.n else Outcome.missing("LMC_BARRIER", "no test sample (n = 0)", basis)
        )


def _barrier(checked: CheckedPredictions, outputs: WhiteBoxOutputs, before: CheckedPredictions) -> Outcome:
    rows = checked.test
    own, other = checked.correct[rows].astype(np.float64), before.correct[rows].astype(np.float64)
    lost = {share: share * own + (1 - share) * other - _right(checked, outputs, mixture_name(share))[rows] for share in MIXTURES}
    worst = max(lost, key=lambda share: float(lost[share].mean()))
    details = {"worst_at": worst, "mixtures": {mixture_name(share): float(values.mean()) for share, values in lost.items()}}
    basis = replace(describe_basis(checked, rows), details=details)
    return Outcome("LMC_BARRIER", basis, Replicated.of_samples(lost[worst], checked.person_of(rows), low=-1.0, high=1.0))


def durability_changes(checked: CheckedPredictions, sides: tuple[WhiteBoxOutputs, WhiteBoxOutputs]) -> Iterator[Outcome]:
    """Candidate minus other of every accuracy after the same change, paired on the forget samples, overall."""
    forget, last = checked.predictions.mask("forget"), min(map(epochs_of, sides))
    same = {RETURN_ACC: epoch_name(last)} if last and epochs_of(sides[0]) == epochs_of(sides[1]) else {}
    for metric, change in {**same, **CHANGED}.items():
        if forget.any() and all(change in side.changed for side in sides):
            left, right = (_right(checked, side, change)[forget] for side in sides)
            yield Outcome(metric, describe_basis(checked, forget), PairedCounts.of(left, right, checked.person_of(forget)))


def compare_returned(
    models: Mapping[Subject, Model], primary: Sequence[Subject]
) -> Iterator[tuple[Subject, tuple[Outcome, ...]]]:
    """RETURN_SHARE of the candidate, of the version before (0 where it is defined), and of each reference against the others.

    Args:
        models: every model with what was collected of it, rows in the same order.
        primary: the references that count.
    """
    yield CANDIDATE, tuple(measure_return_share(models, primary))
    if BASELINE in models:
        yield BASELINE, tuple(measure_return_share({**models, CANDIDATE: models[BASELINE]}, primary))
    for subject in primary if len(primary) > 1 else ():
        others = [other for other in primary if other != subject]
        yield subject, tuple(measure_return_share({**models, CANDIDATE: models[subject]}, others))


def measure_return_share(models: Mapping[Subject, Model], primary: Sequence[Subject]) -> Iterator[Outcome]:
    """``RETURN_SHARE``: the forgetting share after all models had the same epochs of fine-tuning on the retain set.

    share = D(candidate) / D(references) as in ``forgetting.share``, where candidate, version before and references are each
    what they are after the last epoch: 0 as a model that forgot nothing, 1 as a retrained one.  Details: the share by epoch
    (``curve``), each with 95 % limits or None.  Undefined as FORGET_SHARE, and without the fine-tuning of each model.

    Args:
        models: every model with what was collected of it, rows in the same order.
        primary: the references that count.
    """
    wanted = (CANDIDATE, *([BASELINE] if BASELINE in models else []), *(subject for subject in primary if subject in models))
    lasts = {epochs_of(models[subject][1]) for subject in wanted}
    checked, outputs = models[CANDIDATE]
    if lasts == {0} and FINE_TUNING not in outputs.missing:
        return
    basis = describe_basis(checked)
    if BASELINE not in models or lasts == {0} or len(lasts) > 1:
        reason = "not every model was fine-tuned for as many epochs" if BASELINE in models else NEEDS_BEFORE
        yield Outcome.missing(RETURN_SHARE, reason, basis)
        return
    last = lasts.pop()
    shares = [_share_after({subject: models[subject] for subject in wanted}, epoch) for epoch in range(last + 1)]
    curve = [_summarise(share) for share in shares]
    yield replace(shares[-1], metric=RETURN_SHARE, basis=replace(shares[-1].basis, details={"curve": curve}))


def _share_after(models: Mapping[Subject, Model], epoch: int) -> Outcome:
    after = {subject: _answering(*model, epoch_name(epoch)) for subject, model in models.items()}
    references = {subject: model for subject, model in after.items() if subject not in (CANDIDATE, BASELINE)}
    return measure_share(after[CANDIDATE], after[BASELINE], references)


def _answering(checked: CheckedPredictions, outputs: WhiteBoxOutputs, change: str) -> CheckedPredictions:
    """The same samples with the labels and margins that a model gave after a change; other scores are not known."""
    order, given = row_positions(checked.predictions.ids, outputs), outputs.changed[change]
    predictions = replace(checked.predictions, prediction=given.prediction[order], logits=None, loss=None)
    made = CheckedPredictions(predictions, checked.dominant_groups, checked.options)
    made.__dict__["margin"] = given.margin[order].astype(np.float64)
    return made


def _summarise(share: Outcome) -> list[float] | None:
    limits = None if share.statistic is None else share.statistic.limits(_SHOWN)
    return None if limits is None or share.estimate is None else [share.estimate, *limits]
