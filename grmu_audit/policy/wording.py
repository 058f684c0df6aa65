"""Numbers, bounds and groups in the words of a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grmu_audit.metrics.catalog import spec
from grmu_audit.records import Group
from grmu_audit.records.data import SUPPRESSED_BELOW

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


def amount(value: float, unit: str, signed: bool = False) -> str:
    """A value in the unit of its metric: a fraction as ``percent`` tells it, anything else with four digits and its unit.

    >>> amount(0.25, "fraction"), amount(3.0, "epochs"), amount(-0.5, "score", signed=True)
    ('25.0 %', '3 epochs', '-0.5')
    """
    if unit == "fraction":
        return percent(value, signed)
    text = f"{value:+.4g}" if signed and value else f"{value:.4g}"
    return text if unit in ("", "1", "ratio", "score") else f"{text} {unit}"


def few(count: int) -> str:
    """A count of samples, but for one so small that it would speak of single people.

    >>> few(3), few(0), few(1234)
    ('fewer than 5', '0', '1,234')
    """
    return f"fewer than {SUPPRESSED_BELOW}" if 0 < count < SUPPRESSED_BELOW else f"{count:,}"


def quantity(metric: str, compare: str, group: Group | None) -> str:
    """What is judged: ``GA``, or ``the change of GA against the baseline``."""
    name = f"{metric} of {cells((group,))}" if group else metric
    return name if compare == "absolute" else f"the change of {name} against the {compare}"


def bound_words(rule: Rule) -> str:
    """The bound of a rule: ``at most 25.0 %``; of a change in points."""
    signed, unit = rule.compare != "absolute", spec(rule.metric).unit
    words = {
        "max": "at most {}", "min": "at least {}", "max_change": "at most {}", "min_change": "at least {}",
        "max_gap": "at most {} in either direction",
    }  # fmt: skip
    parts = []
    for name, bound in rule.bounds.items():
        if isinstance(bound, list):
            parts.append(f"from {amount(bound[0], unit)} to {amount(bound[1], unit)}")
        else:
            shown = amount(bound, unit, signed)
            parts.append(words[name].format(shown.lstrip("+") if name == "max_gap" else shown))
    return " and ".join(parts)


def cells(groups: Sequence[Group]) -> str:
    """Groups in words: ``group (target 1, attribute 0)``."""
    shown = ", ".join(f"(target {g.target}, attribute {g.attribute})" for g in groups[:_SHOWN_CELLS])
    more = f" and {len(groups) - _SHOWN_CELLS} more" if len(groups) > _SHOWN_CELLS else ""
    return f"group{'s' if len(groups) > 1 else ''} {shown}{more}" if groups else ""
