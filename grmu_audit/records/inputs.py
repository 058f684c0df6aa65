"""What an audit is measured from: models with everything that was collected of them, and what it says beside its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grmu_audit.records.audit import NotMeasured
from grmu_audit.records.data import DataCheckReport, DataRecord, ForgetRecord
from grmu_audit.records.forgetting import ExactEvidence
from grmu_audit.records.lineage import ModelRef
from grmu_audit.records.metric_value import BASELINE, CANDIDATE, ROOT, MetricValue, Subject, reference
from grmu_audit.records.predictions import Predictions
from grmu_audit.records.white_box import ShadowTable, WhiteBoxOutputs


@dataclass(frozen=True)
class AuditedModel:
    """One model of an audit with everything that was collected of it."""

    ref: ModelRef
    """The version."""
    predictions: Predictions
    """Its predictions under the request."""
    white_box: WhiteBoxOutputs | None = None
    """What needed the network itself; levels standard and deep."""
    epochs: tuple[Mapping[str, float], ...] = ()
    """What each training epoch logged."""
    rows_read: bytes | None = None
    """Of a retrained model: the record of the rows that its run read, where it calls rows as ``predictions`` does."""
    purged: str = ""
    """Why ``predictions`` hold test rows alone; empty where they hold all rows of the candidate."""


@dataclass(frozen=True)
class EarlierRequest:
    """A request that an ancestor of the candidate was created for."""

    label: str
    """``name/version`` of that ancestor."""
    ids: frozenset[str]
    """Sample ids (pseudonyms) that the request added to the forget set."""
    before: Predictions | None
    """Predictions of the version that the ancestor was made from, under the candidate's request; None where it was purged."""
    served: Predictions | None
    """Predictions of the ancestor itself; None where it was purged."""
    why_purged: str = ""
    """Why the request cannot be measured any more: one of the two was purged."""


@dataclass(frozen=True)
class OwnRequest:
    """One of several requests that the candidate serves together."""

    name: str
    """Request id."""
    ids: frozenset[str]
    """Sample ids (pseudonyms) of its training rows."""


@dataclass(frozen=True)
class AuditInputs:
    """Everything that an audit is measured from."""

    candidate: AuditedModel
    """The audited model."""
    baseline: AuditedModel | None = None
    """The model before unlearning."""
    references: tuple[AuditedModel, ...] = ()
    """Retrained models."""
    shadows: ShadowTable | None = None
    """Margins of shadow models; level deep."""
    earlier: tuple[EarlierRequest, ...] = ()
    """Earlier requests of the lineage, oldest first."""
    own: tuple[OwnRequest, ...] = ()
    """The candidate's own requests, where it serves several together."""
    root: AuditedModel | None = None
    """The first version of the lineage; None where that is the baseline."""

    @property
    def models(self) -> dict[Subject, AuditedModel]:
        """Every model by subject: candidate, baseline, references, root, in this order."""
        found = {CANDIDATE: self.candidate}
        if self.baseline is not None:
            found[BASELINE] = self.baseline
        found |= {reference(number): model for number, model in enumerate(self.references, 1)}
        return found if self.root is None else found | {ROOT: self.root}

    @property
    def primary_references(self) -> tuple[Subject, ...]:
        """The references that means and closeness rest on: those with REWEIGHT where there are any, else all."""
        return primary_references([model.ref for model in self.references])


def primary_references(references: Sequence[ModelRef]) -> tuple[Subject, ...]:
    """Those with REWEIGHT where there are any, else all.

    >>> primary_references([ModelRef("m", "2"), ModelRef("m", "3", reweight=True)])
    (Subject(role=<Role.REFERENCE: 'reference'>, number=2, change=False),)
    """
    numbered = [(reference(number), ref.reweight) for number, ref in enumerate(references, 1)]
    return tuple(s for s, reweight in numbered if reweight) or tuple(s for s, _ in numbered)


@dataclass(frozen=True)
class AuditContext:
    """What an audit says beside its numbers."""

    data: DataRecord
    """Data and splits."""
    forget: ForgetRecord | None = None
    """Forget set; None: counted from the predictions."""
    data_quality: DataCheckReport | None = None
    """Quality checks of the request."""
    not_measured: tuple[NotMeasured, ...] = ()
    """What was not measured, and why."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """Versions, hardware, dates, costs."""
    exact: ExactEvidence | None = None
    """Of a retrained candidate: what its own record shows."""
    carried_over: tuple[MetricValue, ...] = ()
    """Values that files alone cannot give again."""
