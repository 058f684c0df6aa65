"""From everything that was collected of the models of an audit to the audit: every metric and every change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.auditing.later_parts import LATER_PARTS
from grmu_audit.auditing.stored_predictions import predictions_sha256
from grmu_audit.errors import InputError
from grmu_audit.metrics.checked_predictions import align, of_ids
from grmu_audit.metrics.measure import Measurements, measure_models
from grmu_audit.metrics.outcome import with_interval_method
from grmu_audit.records import (
    NOT_LARGEST,
    SPLITS,
    Audit,
    AuditContext,
    AuditedModel,
    AuditInputs,
    ForgetRecord,
    Group,
    GroupCount,
    MeasureOptions,
    Predictions,
)
from grmu_audit.records.audit import DISCLOSURE, INTERNAL, MEASURED_PARTS
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.utils.clock import utc_now
from grmu_audit.utils.resources import VERSION

_DEFAULT = MeasureOptions()
_ROUNDING = 1e-5


def measure(inputs: AuditInputs, context: AuditContext, options: MeasureOptions = _DEFAULT) -> Audit:
    """The one place where an audit is created: every metric of every model, and every change.

    Args:
        inputs: the models.  Changes to the baseline have the subject ``candidate-baseline``, to a reference
            ``candidate-reference#1``, and their mean over several ``candidate-reference``.  That mean, AVG_GAP and TOW rest on
            ``inputs.primary_references``; ``record["yardstick"]`` names them.
        context: what the audit says beside its numbers; a missing group table or forget record is counted from the predictions.
        options: choices that the numbers depend on.

    Returns:
        An audit without a verdict; it holds no sample id.

    Raises:
        InputError: predictions that do not fit together; a model that does not hold the candidate's samples.
    """
    predictions, forget = inputs.candidate.predictions, context.forget
    found = measure_models(inputs, options, (forget.dominant_groups or None) if forget else None)
    return Audit(
        subject=inputs.candidate.ref,
        data=context.data if context.data.groups else replace(context.data, groups=_group_table(predictions)),
        forget=forget or _forget_record(predictions, found.dominant_groups),
        metrics=(*found.values, *(with_interval_method(value, options.interval_method) for value in context.carried_over)),
        baseline=inputs.baseline.ref if inputs.baseline else None,
        references=tuple(model.ref for model in inputs.references),
        data_quality=context.data_quality,
        not_measured=context.not_measured,
        curves=found.curves | _training_curves(inputs),
        controls=found.controls,
        exact=context.exact,
        root=inputs.root.ref if inputs.root else None,
        unchanged=inputs.baseline is not None and _same_as(inputs.candidate, inputs.baseline),
        record=_record(inputs, context.record, options, found),
        segments=found.segments,
    )


def same_outputs(one: Predictions, other: Predictions) -> bool:
    """Whether two models have the same outputs up to rounding; by their labels where no scores are known.

    Args:
        one: predictions.
        other: predictions of the same samples, in any order.
    """
    other = align(one, other)
    columns = [(one.logits, other.logits), (one.loss, other.loss)]
    both = [(a, b) for a, b in columns if a is not None and b is not None]
    return bool((one.prediction == other.prediction).all()) and all(
        a.shape == b.shape and np.allclose(a, b, rtol=_ROUNDING, atol=_ROUNDING) for a, b in both
    )


def _same_as(model: AuditedModel, other: AuditedModel) -> bool:
    """Whether two models have the same outputs; of a purged one on the rows that stayed."""
    whole = model.predictions
    return same_outputs(of_ids(whole, other.predictions.ids) if other.purged else whole, other.predictions)


def require_distinct_references(inputs: AuditInputs) -> None:
    """Return when no reference has the outputs of the candidate or of the baseline.

    Raises:
        InputError: one has: it cannot be a model that was retrained separately.
    """
    for number, model in enumerate(inputs.references, 1):
        for role, other in (("candidate", inputs.candidate), ("baseline", inputs.baseline)):
            if other is not None and _same_as(model, other):
                raise InputError(
                    f"reference {number} ({model.ref.label}) has the outputs of the {role} ({other.ref.label}): a reference is "
                    "another model, retrained without the forget set"
                )


def _record(inputs: AuditInputs, given: Mapping[str, Any], options: MeasureOptions, found: Measurements) -> dict[str, Any]:
    tables = {str(subject): table for subject, table in found.predictions.items()}
    contradicted = {name: int(not_largest(table).sum()) for name, table in tables.items()}
    return {
        "created": utc_now(),
        "tool": f"grmu-audit {VERSION}",
        **given,
        DISCLOSURE: INTERNAL,
        MEASURED_PARTS: list(LATER_PARTS),
        **options.to_record(),
        **found.notes,
        **({NOT_LARGEST: contradicted} if any(contradicted.values()) else {}),
        "yardstick": [str(subject) for subject in inputs.primary_references],
        "predictions_sha256": {name: predictions_sha256(table) for name, table in tables.items()},
    }


def not_largest(p: Predictions) -> npt.NDArray[np.bool_]:
    """[n] whether a row's prediction is a class without the largest score; never where no scores are known."""
    if p.logits is None:
        return np.zeros(len(p), dtype=bool)
    return np.asarray(p.logits[np.arange(len(p)), p.prediction] < p.logits.max(axis=1))


def _training_curves(inputs: AuditInputs) -> dict[str, Any]:
    logged = {str(subject): [dict(row) for row in model.epochs] for subject, model in inputs.models.items() if model.epochs}
    return {"training": logged} if logged else {}


def _group_table(p: Predictions) -> tuple[GroupCount, ...]:
    """Counts of every group that occurs, part by part."""
    codes, index = np.unique(p.group, return_inverse=True)
    counts = np.bincount(index * len(SPLITS) + p.split, minlength=len(codes) * len(SPLITS)).reshape(-1, len(SPLITS)).tolist()
    groups = [Group(code // p.attributes, code % p.attributes) for code in codes.tolist()]
    return tuple(
        GroupCount(group, group.label(p.class_names, p.attribute_names), retain + forget, retain, forget, val, test)
        for group, (retain, forget, val, test) in zip(groups, counts, strict=True)
    )


def _forget_record(p: Predictions, dominant_groups: tuple[Group, ...]) -> ForgetRecord:
    """Counts and groups; the digest covers how many forget samples each group has, since there is no keyed id."""
    codes, counts = np.unique(p.group[p.mask("forget")], return_counts=True)
    composition = [[int(c) // p.attributes, int(c) % p.attributes, int(k)] for c, k in zip(codes, counts, strict=True)]
    digest = f"counts-sha256:{sha256_hex(canonical_json(composition))}"
    return ForgetRecord(count=int(counts.sum()), digest=digest, dominant_groups=dominant_groups)
