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


def measured_chain(
    candidate: Predictions, baseline: Predictions, root: Predictions | None, references: Sequence[Predictions] = ()
) -> Audit:
    """The audit of ``m/3``, made from ``m/2``, which was made from the root ``m/1``; without a root ``m/2`` is the first."""
    parent = ModelRef("m", "2", parent="m/1" if root is not None else None)
    inputs = AuditInputs(
        AuditedModel(ModelRef("m", "3", parent="m/2"), candidate),
        AuditedModel(parent, baseline),
        tuple(map(model, references)),
        root=AuditedModel(ModelRef("m", "1"), root) if root is not None else None,
    )
    return measure(inputs, AuditContext(DataRecord("d", {})))
