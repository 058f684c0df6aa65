"""Frozen records that packages hand to each other, with a JSON form where they are stored."""

from grmu_audit.records.audit import (
    AUDIT_SCHEMA,
    EARLIER_SCHEMA,
    NOT_LARGEST,
    UNVERIFIED,
    Audit,
    MeasureOptions,
    NotMeasured,
)
from grmu_audit.records.data import (
    SUPPRESSED_BELOW,
    CheckResult,
    DataCheckReport,
    DataRecord,
    ForgetRecord,
    GroupCount,
    dominant_groups,
    suppressed,
)
from grmu_audit.records.forgetting import Control, ExactEvidence
from grmu_audit.records.inputs import AuditContext, AuditedModel, AuditInputs, primary_references
from grmu_audit.records.lineage import ForgetRequest, ModelRef, Splits
from grmu_audit.records.metric_value import BASELINE, CANDIDATE, ROOT, Group, MetricValue, Role, Subject, reference
from grmu_audit.records.predictions import SPLITS, Predictions
from grmu_audit.records.verdict import ControlOutcome, Decision, RuleOutcome, Verdict

__all__ = [
    "AUDIT_SCHEMA",
    "BASELINE",
    "CANDIDATE",
    "EARLIER_SCHEMA",
    "NOT_LARGEST",
    "ROOT",
    "SPLITS",
    "SUPPRESSED_BELOW",
    "UNVERIFIED",
    "Audit",
    "AuditContext",
    "AuditInputs",
    "AuditedModel",
    "CheckResult",
    "Control",
    "ControlOutcome",
    "DataCheckReport",
    "DataRecord",
    "Decision",
    "ExactEvidence",
    "ForgetRecord",
    "ForgetRequest",
    "Group",
    "GroupCount",
    "MeasureOptions",
    "MetricValue",
    "ModelRef",
    "NotMeasured",
    "Predictions",
    "Role",
    "RuleOutcome",
    "Splits",
    "Subject",
    "Verdict",
    "dominant_groups",
    "primary_references",
    "reference",
    "suppressed",
]
