"""What a rule of a verdict says: the value it judges, why it cannot be judged, and the reason for its decision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from grmu_audit.intervals import Limits
from grmu_audit.metrics.catalog import spec
from grmu_audit.metrics.catalog.wording import VERDICT_STYLE
from grmu_audit.policy.sample_size import deciding_split
from grmu_audit.policy.schema import Policy, Rule
from grmu_audit.policy.wording import bound_words, group_list, metric_phrase, suppressed_count
from grmu_audit.records import Audit, Decision, MetricValue, suppressed

_OF_POSITIVE = ("EP", "IMPACT_RATIO", "PREDICTIVE_PARITY", "CALIBRATION_GAP", "CONDITIONAL_EP", "CONDITIONAL_IMPACT_RATIO")
"""Metrics whose value is another one where the other class is the positive one."""
_SLACK = 1e-6
_SHOWN_STRATA = 5


@dataclass(frozen=True)
class RuleCase:
    """One rule with the value that it judges."""

    rule: Rule
    """The rule."""
    unapplied: str
    """Why it does not apply; empty where it does."""
    value: MetricValue | None
    """The value or change; None where the audit has none."""
    obstacle: str | None
    """Why the value cannot be judged, or None."""
    counted: str
    """The number of samples as an aside; empty where it would give a very small forget set away."""

    @property
    def applied(self) -> bool:
        """Whether it applies."""
        return not self.unapplied


def counted(value: MetricValue | None, audit: Audit) -> str:
    """``, n = 1,988``; empty for a metric of retain or forget samples where the forget set is too small to be counted."""
    if value is None or (suppressed(audit.forget.count) and spec(value.name).part in ("retain", "forget")):
        return ""
    return f", n = {suppressed_count(value.n)}"


def obstacle_of(rule: Rule, value: MetricValue, audit: Audit, policy: Policy) -> str | None:
    """Why a recorded value cannot be judged, or None."""
    if value.value is None or not math.isfinite(value.value):
        return f"{rule.metric} is undefined: {value.why_missing or 'no reason recorded'}"
    if value.statistic is not None and not abs(value.statistic.estimate - value.value) <= _SLACK:
        return f"the recorded {rule.metric} is not what its own sufficient statistic gives: the audit file was altered"
    positive = value.details.get("positive_class", audit.options.positive_class)  # a change does not name it
    if rule.metric in _OF_POSITIVE and positive != policy.positive_class:
        return f"{rule.metric} was measured with another positive class than the policy's {policy.positive_class}"
    if rule.allow_incomplete:
        return None
    if value.incomplete:
        return f"{rule.metric} is incomplete: {_not_covered(value)}"
    if not value.cell_size >= policy.minimum_group_size:
        samples = f"{suppressed_count(value.cell_size)} samples"
        return f"{_cell_words(value)} has {samples}; the policy requires at least {policy.minimum_group_size}"
    return None


def _not_covered(value: MetricValue) -> str:
    """The strata that a value leaves out with their reasons, or the groups that it has no sample of."""
    strata = value.details.get("undefined_strata")
    if isinstance(strata, Mapping) and strata:
        more = f"; and {len(strata) - _SHOWN_STRATA} more strata" if len(strata) > _SHOWN_STRATA else ""
        return "; ".join(f"{name}: {reason}" for name, reason in list(strata.items())[:_SHOWN_STRATA]) + more
    return f"no {_counted_rows(value)} of {group_list(value.empty_cells) or 'a declared group'}"


def _counted_rows(value: MetricValue) -> str:
    """What an empty cell of the value has none of."""
    return "selected test sample" if value.name == "PREDICTIVE_PARITY" else "test sample"


def _cell_words(value: MetricValue) -> str:
    if cell := value.details.get("smallest_cell"):
        return f"{cell}, which {value.name} rests on,"
    if value.smallest_group is not None:
        return f"{group_list((value.smallest_group,))}, which {value.name} rests on,"
    return f"the {deciding_split(value)} set behind {value.name}"


def needed_cells(case: RuleCase, minimum: int) -> str | None:
    """What an incomplete value, or one that rests on too small a cell, would need before it can be judged."""
    value = case.value
    if value is None or case.rule.allow_incomplete:
        return None
    if value.details.get("undefined_strata"):
        return (
            f"at least {minimum:,} test samples of every attribute value in each of these strata, before the rule can be judged"
        )
    if value.empty_cells:
        return (
            f"at least {minimum:,} {_counted_rows(value)}s of {group_list(value.empty_cells)} instead of none, before the rule "
            "can be judged"
        )
    if value.cell_size >= minimum:
        return None
    group = f" of {group_list((value.smallest_group,))}" if value.smallest_group else ""
    samples = f"{deciding_split(value)} samples{group}"
    return f"at least {minimum:,} {samples} instead of {suppressed_count(value.cell_size)}, before the rule can be judged"


def reason_of(case: RuleCase, decision: Decision, found: tuple[float, float] | None, *, by_point: bool = False) -> str:
    """What a decided or undecided rule says: the value, its interval, and how these lie to the bound."""
    seen, bound = seen_in(case, found), bound_words(case.rule)
    basis = "the estimate" if by_point else "the whole interval"
    if decision is Decision.PASS:
        return f"{seen}: {basis} meets the bound {bound}."
    if decision is Decision.BREACH:
        return f"{seen}: {basis} lies beyond the bound {bound}."
    return f"{seen}: the interval reaches over the bound {bound}, so that the samples do not decide."


def not_refuted(case: RuleCase, found: Limits | None) -> str:
    """What a rule says that is met unless it is breached."""
    where = "no interval at this confidence" if found is None else "the interval does not lie wholly"
    return f"{seen_in(case, found)}: {where} beyond the bound {bound_words(case.rule)}, so that no breach is shown."


def seen_in(case: RuleCase, found: Limits | None) -> str:
    """The value of a case and its interval in words."""
    rule, value = case.rule, case.value
    assert value is not None
    assert value.value is not None
    what = metric_phrase(rule.metric, rule.compare, rule.group.record if rule.group else None)
    signed = rule.compare != "absolute"
    seen = f"{what} is {VERDICT_STYLE.number(value.value, value.unit, signed=signed)}"
    if found is None:
        return seen
    low, high = (VERDICT_STYLE.number(edge, value.unit, signed=signed) for edge in found)
    return f"{seen} (interval {low} to {high}{case.counted})"
