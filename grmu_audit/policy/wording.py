"""Counts, bounds and groups in the words of a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from grmu_audit.metrics.catalog import spec
from grmu_audit.metrics.catalog.wording import VERDICT_STYLE
from grmu_audit.policy.schema import Rule
from grmu_audit.records import SUPPRESSED_BELOW, Group, suppressed

_SHOWN_GROUPS = 5
_BOUNDS = {
    "max": "at most {}",
    "min": "at least {}",
    "within": "from {} to {}",
    "max_change": "at most {}",
    "min_change": "at least {}",
    "max_gap": "at most {} in either direction",
}


def suppressed_count(count: int) -> str:
    """A count of samples; one so small that it would speak of single people is suppressed.

    >>> suppressed_count(3), suppressed_count(0), suppressed_count(1234)
    ('fewer than 5', '0', '1,234')
    """
    return f"fewer than {SUPPRESSED_BELOW}" if suppressed(count) else f"{count:,}"


def metric_phrase(metric: str, compare: str, group: Group | None) -> str:
    """What is judged: ``GA``, or ``the change of GA against the baseline``."""
    name = f"{metric} of {group_list((group,))}" if group else metric
    return name if compare == "absolute" else f"the change of {name} against the {compare}"


def bound_words(rule: Rule) -> str:
    """The bound of a rule: ``at most 25.0 %``; of a change in points."""
    unit = spec(rule.metric).unit
    parts = [_BOUNDS[kind].format(*VERDICT_STYLE.bound(kind, bound, unit)) for kind, bound in rule.bounds.items()]
    return " and ".join(parts)


def group_list(groups: Sequence[Group]) -> str:
    """Groups in words: ``group (target 1, attribute 0)``."""
    shown = ", ".join(f"(target {g.target}, attribute {g.attribute})" for g in groups[:_SHOWN_GROUPS])
    more = f" and {len(groups) - _SHOWN_GROUPS} more" if len(groups) > _SHOWN_GROUPS else ""
    return f"group{'s' if len(groups) > 1 else ''} {shown}{more}" if groups else ""
