"""The scale from as before to as retrained."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

from support import audits

from grmu_audit.records import CANDIDATE, Audit, Decision, MetricValue
from grmu_audit.report.charts.share_chart import draw_requests, draw_share
from grmu_audit.report.content.forgetting import requests_table
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.formats import render
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


def row(name: str, then: float | None, now: float | None, n: int = 40) -> dict:
    interval = None if now is None else [now - 0.2, now + 0.2]
    accuracy = {"before": 0.98, "served": 0.75, "now": 0.9, "retrained": 0.76}
    share = {"when_served": then, "now": now, "interval": interval}
    return {"served_by": name, "n": n, "share": share, "accuracy": accuracy, "why_missing": ""}


def of_lineage(*rows: dict) -> Audit:
    base = audits.judged(Decision.PASS)
    value = MetricValue("WORST_REQUEST_SHARE", CANDIDATE, 0.1, 120, interval=(0.0, 0.2), details={"requests": list(rows)})
    return replace(base, metrics=(*base.metrics, value))


def test_every_request_of_a_lineage_is_drawn_as_it_was_and_as_it_is() -> None:
    audit = of_lineage(row("m/2", 0.9, 0.2), row("m/3", 0.8, 0.85), row("this version", 0.7, 0.7))
    found = draw_requests(Lookup.of(audit), load_strings())
    assert {"m/2", "m/3", "this version", "as before", "as retrained"} <= words(found.svg)
    assert [words for _, words in found.legend] == ["now", "when it was served"]
    assert all(-8 <= x <= 348 for x in places(found.svg))


def test_what_is_not_known_of_a_request_is_not_drawn() -> None:
    """Marks in the colours of both times, beside the lines of the two models of known truth."""

    def marks(*rows: dict) -> tuple[int, int]:
        svg = draw_requests(Lookup.of(of_lineage(*rows)), load_strings()).svg
        return svg.count("var(--before)"), svg.count("var(--after)")

    whole = row("m/2", 0.9, 0.2)
    before, after = marks(whole, row("m/3", 0.8, 0.5))
    without = row("m/3", 0.8, 0.5)
    without["share"]["interval"] = None
    assert marks(whole, row("m/3", None, 0.5)) == (before - 1, after)
    assert marks(whole, row("m/3", 0.8, None)) == (before, after - 2)
    assert marks(whole, without) == (before, after - 1)


def test_one_request_alone_is_not_drawn() -> None:
    assert draw_requests(Lookup.of(of_lineage(row("this version", 0.7, 0.7))), load_strings()) is None
    assert draw_requests(Lookup.of(audits.judged(Decision.PASS)), load_strings()) is None


def test_the_table_holds_every_request_and_hides_the_accuracy_of_few() -> None:
    audit = of_lineage(row("m/2", 0.9, 0.2), row("m/3", None, None, n=3), row("this version", 0.7, 0.7))
    table = requests_table(Lookup.of(audit), load_strings())
    assert [cells[0] for cells in table["rows"]] == ["m/2", "m/3", "this version"]
    assert [cells[2].replace("\xa0", " ") for cells in table["rows"]] == ["90.0 %", "–", "70.0 %"]
    assert table["rows"][1][4:] == ["–"] * 4
    for kind in ("html", "markdown", "text", "model-card"):
        shown = render(audit, kind)
        assert kind == "model-card" or ("m/2" in shown and "Share when served" in shown)
