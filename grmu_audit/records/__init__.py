"""Frozen records that packages hand to each other, with a JSON form where they are stored."""

from grmu_audit.records.audit import AUDIT_SCHEMA, Audit, NotMeasured
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
from grmu_audit.records.lineage import ForgetRequest, ModelRef, Splits
from grmu_audit.records.metric_value import Group, MetricValue
from grmu_audit.records.predictions import SPLITS, Predictions
from grmu_audit.records.verdict import Decision, RuleOutcome, Verdict

__all__ = [
    "AUDIT_SCHEMA",
    "SPLITS",
    "SUPPRESSED_BELOW",
    "Audit",
    "CheckResult",
    "DataCheckReport",
    "DataRecord",
    "Decision",
    "ForgetRecord",
    "ForgetRequest",
    "Group",
    "GroupCount",
    "MetricValue",
    "ModelRef",
    "NotMeasured",
    "Predictions",
    "RuleOutcome",
    "Splits",
    "Verdict",
    "dominant_groups",
    "suppressed",
]
