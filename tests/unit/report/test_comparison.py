"""Several versions side by side, as a page and as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from support import audits

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.records import BASELINE, CANDIDATE, Audit, Decision, MetricValue
from grmu_audit.report import render_comparison
from grmu_audit.report.comparison import MOST_VERSIONS, Judged, comparison_tables, conclusion, describe_versions
from grmu_audit.report.wording.strings import load_strings

STRINGS = load_strings()


def version(number: int, decision: Decision = Decision.PASS) -> Audit:
    """The audit of a version of this number."""
    made = audits.judged(decision)
    return replace(made, subject=replace(made.subject, version=str(number)))


def small(number: int, decision: Decision = Decision.PASS, **changes: object) -> Audit:
    """The same with the accuracy on the forget set alone, changed so, and without groups: a page of one drawing."""
    made = version(number, decision)
    (shown,) = (value for value in made.metrics if value.name == "UA" and value.subject == CANDIDATE)
    return replace(made, metrics=(replace(shown, **changes),), data=replace(made.data, groups=()))


def with_change(audit: Audit, change: float, interval: tuple[float, float] | None) -> Audit:
    """The audit with this change of the accuracy on all test samples."""
    return replace(audit, metrics=(*audit.metrics, MetricValue("TA", BASELINE.as_change(), change, 497, interval=interval)))


def said(audits: list[Audit], judged: list[Judged]) -> list[str]:
    """The conclusion with plain spaces."""
    return [text.replace("\xa0", " ") for text in conclusion(describe_versions(audits, judged, STRINGS), STRINGS)]


@pytest.mark.parametrize(("count", "words"), [(1, "1 version to compare"), (MOST_VERSIONS + 1, "7 versions to compare")])
def test_fewer_than_two_versions_and_too_many_are_refused(count: int, words: str) -> None:
    made = [version(number) for number in range(1, count + 1)]
    for render in (describe_versions, comparison_of_kind("html"), comparison_of_kind("text")):
        with pytest.raises(InputError, match=f"^{words}: give 2 to 6$"):
            render(made, [None] * count, STRINGS)


def comparison_of_kind(kind: str) -> Callable[..., object]:
    """The comparison as a page or as text."""
    return lambda made, judged, _: render_comparison(made, judged, kind)


def test_a_kind_that_does_not_exist_is_refused() -> None:
    made = [version(3), version(4)]
    with pytest.raises(InputError, match=r"^a comparison has no format 'pdf': known are html and text$"):
        render_comparison(made, made, "pdf")


def test_evidence_that_is_damaged_stands_beside_the_others_with_its_reason() -> None:
    made = [small(3), small(4), small(5)]
    damaged = IntegrityError("audit.json of m/4 was edited <b>")
    found = describe_versions(made, [made[0], damaged, None], STRINGS)
    assert [(one.word, one.state, one.problem) for one in found] == [
        ("PASS", "pass", ""),
        ("EVIDENCE DAMAGED", "breach", "audit.json of m/4 was edited <b>"),
        ("NOT JUDGED", "not-judged", ""),
    ]
    page = render_comparison(made, [made[0], damaged, None])
    assert "audit.json of m/4 was edited &lt;b&gt;" in page
    assert said(made, [made[0], damaged, None])[0].startswith("photodigits-v1/3 is the only one of the 3 versions")


def test_as_text_a_comparison_has_conclusion_versions_and_every_table() -> None:
    made = [version(3), with_change(version(4), 0.03, (0.01, 0.05))]
    text = render_comparison(made, [None, made[1]], "text", 100)
    head, standing, metrics, groups = text.rstrip("\n").split("\n\n")
    assert head == "\n".join([
        "photodigits-v1/4 is the only one of the 2 versions that met its policy.",
        "On all test samples, photodigits-v1/4 is right more often than photodigits-v1/3: +3.0 pts (likely",
        "+1.0 to +5.0 pts), more than chance explains.",
    ])  # fmt: skip
    assert [line.split()[:2] for line in standing.splitlines() if "photodigits" in line] == [
        ["photodigits-v1/3", "NOT"],
        ["photodigits-v1/4", "PASS"],
    ]
    assert metrics.startswith(STRINGS.text("compare.metrics"))
    assert re.search(r"^TA \(Test accuracy\) +91\.1 % +91\.1 %\n", metrics, re.M)
    assert " Δ +3.0 pts (+1.0 to +5.0 pts)\n" in metrics
    assert groups.startswith(STRINGS.text("tables.groups"))
    assert "\xa0" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_as_text_versions_without_a_number_have_no_table() -> None:
    empty = [replace(made, metrics=(), data=replace(made.data, groups=())) for made in (version(3), version(4))]
    text = render_comparison(empty, [None, None], "text")
    assert text.startswith("No PASS is recorded for any of the 2 versions.\n\n")
    assert len(text.rstrip("\n").split("\n\n")) == 2
    assert comparison_tables(describe_versions(empty, [None, None], STRINGS), STRINGS) == []


@pytest.mark.parametrize(
    ("change", "interval", "words"),
    [
        (-0.03, (-0.05, -0.01), "is right less often than photodigits-v1/3: −3.0 pts (likely −5.0 to −1.0 pts)"),
        (0.03, (0.01, 0.05), "is right more often than photodigits-v1/3: +3.0 pts (likely +1.0 to +5.0 pts)"),
        (0.01, (-0.01, 0.03), "it is not decided whether photodigits-v1/4 is better or worse than photodigits-v1/3"),
        (0.01, None, None),
    ],
)
def test_a_difference_is_said_where_its_interval_is_known(
    change: float, interval: tuple[float, float] | None, words: str | None
) -> None:
    made = [version(3), with_change(version(4), change, interval)]
    first, *others = said(made, [None, made[1]])
    assert first.startswith("photodigits-v1/4 is the only one")
    assert [words in text for text in others] == ([] if words is None else [True])


def test_a_metric_that_is_too_small_to_show_has_no_drawing_and_one_without_an_interval_has_a_point_alone() -> None:
    def drawn(**changes: object) -> list[str]:
        made = [small(number, **changes) for number in (3, 4)]
        return re.findall(r'<svg class="chart".*?</svg>', render_comparison(made, made), re.S)

    (plain,), (bare,) = drawn(), drawn(interval=None)
    assert ">UA</title>" in plain
    assert plain.count("var(--pass)") == 4  # a point and an interval of each version
    assert bare.count("var(--pass)") == 2
    assert drawn(n=3) == []
