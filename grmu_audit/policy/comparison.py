"""What a rule compares: which value it judges, whether it applies to an audit, and why there is nothing to judge."""

from __future__ import annotations

from grmu_audit.metrics.catalog import level_needed, spec
from grmu_audit.metrics.catalog.subgroups import CONDITIONAL
from grmu_audit.policy.schema import Policy, Rule
from grmu_audit.policy.wording import group_list
from grmu_audit.records import BASELINE, CANDIDATE, ROOT, Audit, MetricValue, Role, Subject, reference
from grmu_audit.records.audit import PURGED_REASON

_JUDGED = {
    "absolute": (CANDIDATE,),
    "baseline": (BASELINE.as_change(),),
    "root": (ROOT.as_change(),),
    "reference": (Subject(Role.REFERENCE).as_change(), reference(1).as_change()),
}
"""Whose value a rule judges, by what it compares with: the first that the audit has."""


def starts_lineage(audit: Audit) -> bool:
    """Whether the baseline is the root of the lineage, or no lineage is known, as for prediction files."""
    return audit.root is None and (audit.baseline is None or audit.baseline.parent is None)


def judged_value(rule: Rule, audit: Audit) -> MetricValue | None:
    """The value or change that a rule judges; None where the audit has none."""
    group = rule.group.record if rule.group else None
    compare = "baseline" if rule.compare == "root" and starts_lineage(audit) else rule.compare
    found = (audit.metric(rule.metric, subject, group) for subject in _JUDGED[compare])
    return next((value for value in found if value is not None), None)


def why_unapplied(rule: Rule, audit: Audit, policy: Policy) -> str:
    """Why a rule does not apply, or an empty string."""
    if rule.when == "reference_available" and not audit.references:
        return "the audit has no reference"
    if purged := _why_purged(rule, audit):
        return f"not measured: {purged}"
    waived = {waiver.rule for waiver in policy.waivers}
    same = next((other for other in policy.rules if _covers(other, rule) and other.id not in waived), None)
    if rule.compare == "root" and starts_lineage(audit) and same is not None:
        return f"there is no version of the lineage before the baseline, so that {same.id} bounds the same change"
    return ""


def _why_purged(rule: Rule, audit: Audit) -> str:
    """Why a rule has no value where it rests on rows of a purged version; empty where another reason, or a value, is there."""
    value = judged_value(rule, audit)
    if value is not None:
        reason = value.why_missing or ""
        return reason if value.value is None and audit.purged and reason.startswith(PURGED_REASON) else ""
    role = "baseline" if rule.compare == "root" and starts_lineage(audit) else rule.compare
    of_others = spec(rule.metric).part != "test"
    return f"{PURGED_REASON}{audit.purged[role]}" if role in audit.purged and of_others else ""


def _covers(other: Rule, rule: Rule) -> bool:
    """Whether a rule against the baseline decides what one against the root does, where the baseline is the root."""
    alike = ("metric", "group", "evidence", "severity", "when", "allow_incomplete")
    low, high = other.region
    inside = rule.region[0] <= low and high <= rule.region[1]
    return other.compare == "baseline" and inside and all(getattr(other, name) == getattr(rule, name) for name in alike)


def why_missing(rule: Rule, audit: Audit, value: MetricValue | None) -> str | None:
    """Why there is no value to judge, or None."""
    if rule.compare in ("baseline", "root") and audit.baseline is None:
        return "the audit has no baseline (the version before unlearning) to compare with"
    if rule.compare == "root" and audit.root is None and not starts_lineage(audit):
        return "not measured: root: the audit was not compared with the first version of its lineage; audit it again"
    if rule.compare == "reference" and not audit.references:
        return "the audit has no reference (a retrained version) to compare with"
    if value is None:
        where = f" for {group_list((rule.group.record,))}" if rule.group else ""
        return f"{rule.metric} was not measured{where}{_deeper(rule, audit)}"
    return None


def why_other_strata(rule: Rule, audit: Audit, policy: Policy) -> str:
    """Why a conditional value is none of the policy's, or an empty string: it was taken within values of other attributes."""
    wanted, measured = policy.control_attributes, audit.options.control_attributes
    if rule.metric not in CONDITIONAL or sorted(wanted) == sorted(measured):
        return ""
    if not measured:
        return f"{rule.metric} was not measured: the audit names no control attributes, the policy names {', '.join(wanted)}"
    return f"{rule.metric} was measured within {', '.join(measured)}; the policy names {', '.join(wanted)}"


def _deeper(rule: Rule, audit: Audit) -> str:
    """Which level of audit would measure a metric that a shallower audit left out, in words, or an empty string."""
    level = level_needed(rule.metric, audit.record.get("level"))
    return f": it needs an audit at level {level}" if level else ""
