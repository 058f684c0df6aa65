"""Numbers, bounds and groups in the words of a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grmu_audit.records import Group

if TYPE_CHECKING:
    from grmu_audit.policy.schema import Rule

_SHOWN_CELLS = 5


def percent(value: float, signed: bool = False) -> str:
    """A fraction as per cent with one decimal; a change carries its sign and counts in points.

    >>> percent(0.256), percent(-0.05, signed=True), percent(1.0)
    ('25.6 %', '-5.0 points', '100.0 %')
    """
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    text = text.replace("-0.0", "0.0").replace("+0.0", "0.0") if abs(value) < 0.0005 else text
    return f"{text} {'points' if signed else '%'}"


def quantity(metric: str, compare: str, group: Group | None) -> str:
    """What is judged: ``GA``, or ``the change of GA against the baseline``."""
    name = f"{metric} of {cells((group,))}" if group else metric
    return name if compare == "absolute" else f"the change of {name} against the {compare}"


def bound_words(rule: Rule) -> str:
    """The bound of a rule: ``at most 25.0 %``."""
    signed = rule.compare != "absolute"
    words = {
        "max": "at most {}", "min": "at least {}", "max_change": "at most {}", "min_change": "at least {}",
        "max_gap": "at most {} in either direction",
    }  # fmt: skip
    parts = []
    for name, bound in rule.bounds.items():
        if isinstance(bound, list):
            parts.append(f"from {percent(bound[0])} to {percent(bound[1])}")
        else:
            parts.append(words[name].format(percent(bound, signed and name != "max_gap")))
    return " and ".join(parts)


def cells(groups: Sequence[Group]) -> str:
    """Groups in words: ``group (target 1, attribute 0)``."""
    shown = ", ".join(f"(target {g.target}, attribute {g.attribute})" for g in groups[:_SHOWN_CELLS])
    more = f" and {len(groups) - _SHOWN_CELLS} more" if len(groups) > _SHOWN_CELLS else ""
    return f"group{'s' if len(groups) > 1 else ''} {shown}{more}" if groups else ""
