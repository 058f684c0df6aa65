"""Cells of the report's tables."""

from __future__ import annotations

from grmu_audit.records import MetricValue
from grmu_audit.records.metric_value import CANDIDATE
from grmu_audit.report.content.tables import repeated_once, with_interval


def value(number: float | None, reason: str | None = None, n: int = 90) -> MetricValue:
    return MetricValue("GA", CANDIDATE, number, n, why_missing=reason, interval=None if number is None else (0.4, 0.6))


def test_a_shared_reason_is_said_once_and_different_reasons_stay_in_their_cells():
    few = value(None, "too few: 3 samples")
    assert repeated_once([value(0.5), few, few, None]) == (
        "\nundefined: too few: 3 samples",
        [with_interval(value(0.5)), "undefined", "undefined", "–"],
    )
    other = value(None, "none at all")
    assert repeated_once([few, other]) == ("", ["undefined: too few: 3 samples", "undefined: none at all"])
    assert repeated_once([value(0.5, n=4)])[1] == ["suppressed"]
