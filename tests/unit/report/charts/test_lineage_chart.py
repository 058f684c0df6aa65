"""The history of a lineage in the report."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.measured_audits import measured_chain

from grmu_audit.metrics.catalog.examples import example
from grmu_audit.policy import load_named
from grmu_audit.policy.judgement import judge
from grmu_audit.records import Audit
from grmu_audit.report import render
from grmu_audit.report.charts.lineage_chart import draw_lineage
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.wording.strings import load_strings

BEFORE, RETRAINED = example("baseline"), example("retrained")


@pytest.fixture(scope="module")
def chain() -> Audit:
    return judge(measured_chain(example(), RETRAINED, BEFORE), load_named("default"))


def test_the_report_plots_and_lists_every_version_of_a_lineage(chain: Audit) -> None:
    page = render(chain, "html")
    assert "History of the lineage" in page
    for words in ("First version of the lineage", "m/1", "m/2", "m/3", "against the first version of the lineage"):
        assert words in page, words
    for kind in ("text", "junit", "sarif", "markdown", "github", "model-card"):
        assert "kept-in-lineage" in render(chain, kind) or kind in ("github", "model-card"), kind


def test_without_a_chain_or_with_a_damaged_history_nothing_is_drawn(chain: Audit) -> None:
    strings = load_strings()
    alone = judge(measured_chain(example(), BEFORE, None), load_named("default"))
    assert draw_lineage(Lookup.of(alone), strings) is None
    assert "History of the lineage" not in render(alone, "html")
    for damaged in ("x", [], [1, {"version": "m/1"}], [{"TA": [1, None, "0"]}, {"TA": 3}], [{"TA": [float("nan"), 0, 1]}] * 2):
        audit = replace(chain, curves={"lineage": damaged})
        assert draw_lineage(Lookup.of(audit), strings) is None
        assert "m/3" in render(audit, "html")


def test_one_hundred_versions_are_drawn(chain: Audit) -> None:
    rows = [{"version": f"m/{number}", "TA": [0.9, 0.85, 0.95], "GA": [0.8, 0.7, 0.9]} for number in range(100)]
    assert draw_lineage(Lookup.of(replace(chain, curves={"lineage": rows})), load_strings()) is not None
