"""Counts, values and recorded facts as text; small counts are suppressed here.  No template does arithmetic."""

from __future__ import annotations

import math
from typing import TypeGuard

from grmu_audit.metrics.catalog.wording import REPORT_STYLE
from grmu_audit.records import SUPPRESSED_BELOW, MetricValue, RuleOutcome, suppressed


def count_text(count: int) -> str:
    """A count of people or samples; one so small that it would speak of single people is suppressed.

    >>> count_text(1234), count_text(3), count_text(0)
    ('1,234', '< 5', '0')
    """
    return f"< {SUPPRESSED_BELOW}" if suppressed(count) else f"{count:,}"


def is_suppressed(value: MetricValue | RuleOutcome) -> bool:
    """Whether a value rests on so few samples that showing it would identify people."""
    return value.n is not None and suppressed(value.n)


def no_number(value: MetricValue) -> tuple[str, str] | None:
    """``suppressed`` or ``undefined``, and why, where a value has no number to show."""
    if is_suppressed(value):
        return "suppressed", f"rests on fewer than {SUPPRESSED_BELOW} samples"
    if value.value is None or not math.isfinite(value.value):
        return "undefined", value.why_missing or "no reason was recorded"
    return None


def has_number(value: MetricValue | None) -> TypeGuard[MetricValue]:
    """Whether there is a number to show."""
    return value is not None and no_number(value) is None


def finite_number(value: object) -> float | None:
    """A recorded fact as a finite number; None where it is none.

    >>> finite_number(2), finite_number(True), finite_number("2")
    (2.0, None, None)
    """
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) else None  # type: ignore[arg-type]


def estimate(value: MetricValue | None) -> str:
    """The estimate in words: a number, "undefined: why", "suppressed: why" or "not recorded"."""
    if value is None:
        return "not recorded"
    absent = no_number(value)
    if absent is not None:
        return ": ".join(absent)
    assert value.value is not None
    return REPORT_STYLE.number(value.value, value.unit, signed=value.subject.change)


def interval_of(value: MetricValue | None) -> str:
    """The interval of a value in words; empty when there is none to show."""
    if value is None or value.value is None or is_suppressed(value):
        return ""
    return REPORT_STYLE.interval(value.interval, value.unit, signed=value.subject.change)


def value_text(value: object) -> str:
    """A recorded fact of any plain type as text: numbers grouped, lists joined, dictionaries as "key: value".

    >>> value_text([1, 2.5, "a"]), value_text({"lr": 0.01, "layers": []}), value_text(True), value_text(None)
    ('1, 2.5, a', 'lr: 0.01; layers: none', 'yes', 'not recorded')
    """
    if value is None or value == "":
        return "not recorded"
    if value in ([], (), {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {value_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(value_text(item) for item in value)
    return str(value)
