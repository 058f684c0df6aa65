"""Cells of the report's tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import audits

from grmu_audit.records import MetricValue
from grmu_audit.records.metric_value import CANDIDATE
from grmu_audit.records.segments import SegmentSearch, WeakSegment
from grmu_audit.report import render
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.tables import MOST_SEGMENTS, interval_notes, move_shared_reason, segment_table, with_interval
from grmu_audit.report.wording.strings import load_strings


def value(number: float | None, reason: str | None = None, n: int = 90) -> MetricValue:
    return MetricValue("GA", CANDIDATE, number, n, why_missing=reason, interval=None if number is None else (0.4, 0.6))


def test_a_shared_reason_is_said_once_and_different_reasons_stay_in_their_cells():
    few = value(None, "too few: 3 samples")
    assert move_shared_reason([value(0.5), few, few, None]) == (
        "\nundefined: too few: 3 samples",
        [with_interval(value(0.5)), "undefined", "undefined", "–"],
    )
    other = value(None, "none at all")
    assert move_shared_reason([few, other]) == ("", ["undefined: too few: 3 samples", "undefined: none at all"])
    assert move_shared_reason([value(0.5, n=4)])[1] == ["suppressed"]


def test_the_report_says_whom_an_interval_speaks_of_and_what_was_not_simulated():
    plain = value(0.5)
    assert interval_notes(plain, load_strings()) == ""
    one = replace(plain, details={"people": {"why_missing": "one person says nothing about others"}})
    assert "this one person's samples" in interval_notes(one, load_strings())
    several = replace(plain, details={"people": {}, "outside_simulated_range": "30 cells, simulated up to 20"})
    first, second = interval_notes(several, load_strings()).strip().split("\n")
    assert "people like those of the forget set" in first
    assert second.endswith("30 cells, simulated up to 20")


LOWER = WeakSegment("age=1, sex=0", 120, 0.7, 0.9, (-0.3, -0.1), 0.00001)
FELL = replace(LOWER, p_others=0.4, below_others=(-0.3, 0.1), before=0.8, change=(-0.2, -0.05), p_before=0.012)


@pytest.mark.parametrize("name", ["html", "markdown", "model-card"])
def test_every_document_renders_with_weak_segments(name: str) -> None:
    search = SegmentSearch(12, 24, 30, 0.95, (replace(LOWER, name="<b>age</b>=1"), FELL))
    text = render(replace(audits.rich(), segments=search), name)
    assert "<b>age</b>" not in str(text)
    if name == "html":
        assert "Weak segments: 2 of 12 with at least 30 test samples" in text


def test_weak_segments_stand_in_a_table_with_intervals_and_p_values() -> None:
    found = Lookup.of(replace(audits.rich(), segments=SegmentSearch(12, 24, 30, 0.95, (LOWER, FELL))))
    table = segment_table(found, load_strings())
    cells = [[cell.replace("\xa0", " ") for cell in row] for row in table["rows"]]
    assert cells[0][:4] == ["age=1, sex=0", "120", "70.0 %", "90.0 %"]
    assert cells[0][4].split("\n")[2] == "p < 0.001"
    assert cells[0][5:] == ["–", "–"]
    assert cells[1][6].split("\n")[2] == "p = 0.012"
    many = replace(audits.rich(), segments=SegmentSearch(50, 50, 30, 0.95, (LOWER,) * (MOST_SEGMENTS + 1)))
    long = segment_table(Lookup.of(many), load_strings())
    assert len(long["rows"]) == MOST_SEGMENTS
    assert f"Listed are the {MOST_SEGMENTS}" in long["caption"]
    assert "are shown to have a lower accuracy than all others" in long["caption"]
    assert [column["title"] for column in long["columns"]][-1] == "Against others"


def test_a_difference_without_limits_has_its_value_and_its_p_value_alone() -> None:
    bare = replace(FELL, below_others=None, change=None)
    found = Lookup.of(replace(audits.rich(), segments=SegmentSearch(12, 24, 30, 0.95, (bare,))))
    ((*_, below, _, change),) = segment_table(found, load_strings())["rows"]
    assert below.replace("\xa0", " ") == "−20.0 pts\np = 0.400"
    assert change.replace("\xa0", " ") == "−10.0 pts\np = 0.012"


def test_a_report_says_that_no_segment_is_weak_where_it_looked() -> None:
    looked = replace(audits.rich(), segments=SegmentSearch(12, 24, 30, 0.95))
    assert "none is shown to have a lower accuracy than all others" in render(looked, "html")
    assert "Weak segments" not in render(audits.rich(), "html")
