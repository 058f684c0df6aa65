from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from grmu_audit.records import Group, GroupCount
from grmu_audit.report.charts.group_charts import group_mix_svg

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
