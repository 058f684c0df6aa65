"""Frozen records that cross room borders, with a JSON form where they are stored."""

from grmu_audit.records.audit import (
    AUDIT_SCHEMA,
    Audit,
    DataRecord,
    ForgetRecord,
    GroupCount,
    NotMeasured,
    dominant_groups,
)
from grmu_audit.records.groups import Group
from grmu_audit.records.lineage import ForgetRequest, ModelRef, Splits
from grmu_audit.records.measure import MetricValue
from grmu_audit.records.predictions import SPLITS, Predictions
from grmu_audit.records.quality import CheckResult, DataCheckReport
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
