"""Cells of the report's tables."""

from __future__ import annotations

from dataclasses import replace

from grmu_audit.records import MetricValue
from grmu_audit.records.metric_value import CANDIDATE
from grmu_audit.report.content.tables import interval_notes, repeated_once, with_interval
from grmu_audit.report.wording.strings import load_strings


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


def test_the_report_says_whom_an_interval_speaks_of_and_what_was_not_simulated():
    plain = value(0.5)
    assert interval_notes(plain, load_strings()) == ""
    one = replace(plain, details={"people": {"why_missing": "one person says nothing about others"}})
    assert "this one person's samples" in interval_notes(one, load_strings())
    several = replace(plain, details={"people": {}, "outside_simulated_range": "30 cells, simulated up to 20"})
    first, second = interval_notes(several, load_strings()).strip().split("\n")
    assert "people like those of the forget set" in first
    assert second.endswith("30 cells, simulated up to 20")
