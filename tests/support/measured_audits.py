"""Audits of predictions alone, without files, policy or verdict."""

from __future__ import annotations

from collections.abc import Sequence

from grmu_audit.auditing.measurement import measure
from grmu_audit.records import Audit, AuditContext, AuditedModel, AuditInputs, DataRecord, ForgetRecord, ModelRef, Predictions


def model(table: Predictions, version: str = "1", *, reweight: bool = False) -> AuditedModel:
    """A model with these predictions."""
    return AuditedModel(ModelRef("m", version, reweight=reweight), table)


def measured(
    candidate: Predictions,
    baseline: Predictions | None = None,
    references: Sequence[Predictions] = (),
    forget: ForgetRecord | None = None,
) -> Audit:
    """The audit of these models on imagined data."""
    inputs = AuditInputs(model(candidate), baseline and model(baseline), tuple(map(model, references)))
    return measure(inputs, AuditContext(DataRecord("d", {}), forget))
