from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

from support import audits

from grmu_audit.records import BASELINE, Decision, Group, GroupCount
from grmu_audit.report.charts.group_charts import MOST_GROUPS, draw_groups, draw_shift, group_mix_svg
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.wording.strings import load_strings

BEFORE = [GroupCount(Group(0, 0), "a / <b>", 60, 60, 0, 5, 5), GroupCount(Group(1, 0), "c / b", 40, 40, 0, 5, 5)]
AFTER = [GroupCount(Group(0, 0), "a / <b>", 60, 60, 0, 5, 5), GroupCount(Group(1, 0), "c / b", 40, 20, 20, 5, 5)]


def words(svg: str) -> list[str]:
    return [text.strip() for node in ET.fromstring(svg).iter() for text in [node.text or ""] if text.strip()]


def test_shares_before_and_after_and_weights() -> None:
    said = words(group_mix_svg(AFTER, "Groups of x"))
    assert {"60.0 %", "40.0 %", "75.0 %", "25.0 %", "× 1.00", "× 2.00"} <= set(said)
    assert any("a / <b>" in text for text in said)


def test_without_a_list_only_the_training_set_is_drawn() -> None:
    svg = group_mix_svg(BEFORE, "Groups of x")
    assert not [text for text in words(svg) if text.startswith("×")]
    assert "and in the" not in svg


def test_the_drawing_is_whole_by_itself() -> None:
    svg = group_mix_svg(AFTER, "x")
    used = set(re.findall(r"var\((--[a-z]+)\)", svg))
    assert used
    assert all(f"{name}:" in svg for name in used)
    assert svg == group_mix_svg(AFTER, "x")


def test_of_many_groups_the_largest_are_drawn_and_the_words_say_how_many() -> None:
    base = audits.judged(Decision.PASS)
    shift = tuple({"name": f"group {i}", "share_before": (1 + i) / 105, "share_after": None, "weight": None} for i in range(14))
    found = Lookup.of(replace(base, data_quality=replace(base.data_quality, group_shift=shift)))
    drawing = draw_shift(found, load_strings())
    assert drawing is not None
    assert MOST_GROUPS == 12
    assert [name for name in words(drawing.svg) if name.startswith("group ")] == [f"group {i}" for i in range(2, 14)]
    assert "12" in drawing.description
    assert "14" in drawing.description
    few = draw_shift(Lookup.of(base), load_strings())
    assert few is not None
    assert drawing.description.startswith(few.description + " ")


def test_a_group_without_an_accuracy_before_has_no_mark_for_it() -> None:
    whole = audits.judged(Decision.PASS)
    chosen = [v for v in whole.metrics if v.name == "accuracy" and v.subject == BASELINE and v.group == Group(1, 1)]
    assert len(chosen) == 1
    without = replace(whole, metrics=tuple(v for v in whole.metrics if v not in chosen))
    undefined = replace(whole, metrics=tuple(replace(v, value=None) if v in chosen else v for v in whole.metrics))
    drawings = [draw_groups(Lookup.of(audit), load_strings()) for audit in (whole, without, undefined)]
    marks = [drawing.svg.count("var(--before)") for drawing in drawings if drawing is not None]
    assert marks == [8, 6, 6]  # four groups with a mark and an interval each
