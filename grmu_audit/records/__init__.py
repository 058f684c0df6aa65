"""Frozen records that cross room borders, with a JSON form where they are stored."""

from grmu_audit.records.audit import AUDIT_SCHEMA, Audit, NotMeasured
from grmu_audit.records.data import CheckResult, DataCheckReport, DataRecord, ForgetRecord, GroupCount, dominant_groups
from grmu_audit.records.lineage import ForgetRequest, ModelRef, Splits
from grmu_audit.records.metric_value import Group, MetricValue
from grmu_audit.records.predictions import SPLITS, Predictions
from grmu_audit.records.verdict import Decision, RuleOutcome, Verdict

__all__ = [
    "AUDIT_SCHEMA",
    "SPLITS",
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
]
