"""The scale from as before to as retrained."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

from support import audits

from grmu_audit.records import Audit, Decision
from grmu_audit.report.charts.share_chart import draw_share
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.wording.strings import load_strings


def drawn(audit: Audit):
    return draw_share(Lookup.of(audit), load_strings())


def words(svg: str) -> set[str]:
    return {(node.text or "").strip() for node in ET.fromstring(svg).iter()} - {""}


def places(svg: str) -> list[float]:
    """Horizontal places of everything that is drawn."""
    return [float(x) for x in re.findall(r"[ML] (-?[\d.]+) -?[\d.]+", svg)]


def test_the_ends_and_the_limit_are_named() -> None:
    found = drawn(audits.judged(Decision.PASS))
    assert {"as before", "as retrained", "above 57.3\xa0%", "0 %", "100 %"} <= words(found.svg)
    assert "With one retrained model it is unknown" in found.description
    assert [words for _, words in found.legend] == ["this version", "interval", "allowed range"]


def test_several_retrained_models_are_drawn_against_each_other() -> None:
    found = drawn(audits.rich())
    assert found.svg.count("var(--reference)") > drawn(audits.judged(Decision.PASS)).svg.count("var(--reference)")
    assert "Each square is a retrained model against the others." in found.description
    assert "retrained models" in [words for _, words in found.legend]


def test_there_is_no_drawing_without_a_share() -> None:
    assert drawn(audits.earlier()) is None
    assert drawn(audits.everything_undefined()) is None


def test_a_share_far_out_stays_inside_the_drawing() -> None:
    base = audits.unjudged()
    for value, interval in ((40.0, (-30.0, 90.0)), (-40.0, (-90.0, -20.0))):
        far = tuple(replace(v, value=value, interval=interval) if v.name == "FORGET_SHARE" else v for v in base.metrics)
        found = drawn(replace(base, metrics=far))
        assert all(-8 <= x <= 348 for x in places(found.svg))  # marks are drawn around their own 0
        assert {"as before", "as retrained"} <= words(found.svg)


def test_an_unjudged_share_shows_no_allowed_range() -> None:
    assert "var(--allowed)" not in drawn(audits.unjudged()).svg
