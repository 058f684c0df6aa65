"""The first two pages: a reader who knows no machine learning finds the answers to twelve questions, before the annex."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from support import audits

from grmu_audit.records import CANDIDATE, Decision
from grmu_audit.report import build_view, render_html

PAGE = Path(__file__).parents[4] / "docs" / "report.md"
ANSWERS = (
    ("photodigits-v1/4", "Version 4 of the model photodigits-v1", "BREACH"),
    ("The version is blocked and cannot be released.", "Unlearn again with other settings"),
    ("“default@d00dd00dd00d”",),
    ("Asked by R-7", "Due 2026-04-01", "Received 2026-03-01"),
    ("quick (from stored predictions)", "Verdict holds until 2026-06-02"),
    ("No: it made 0.0 % of the change that retraining makes",),
    ("Served worse than before: 4 of 4 groups; 2 by more than chance explains.", "digit from 5, dark paper", "−24.1 pts"),
    ("“digit below 5, dark paper”, lost: from 90.8 % to 41.2 % right",),
    ("How fast the forget set can be relearned", "Membership attacks with shadow models"),
    ("Preparer ann, 2026-03-05", "Reviewer not signed yet"),
    ("It does not say that the data was deleted everywhere, that the model is fair to everybody, or that a law",),
    ("below a change, the range that it lies in with 95 % confidence",),
)
"""What answers each question of the page, in its order."""


def asked():
    base = audits.judged(Decision.BREACH)
    request = {**base.forget.request, "request_id": "R-7", "received_at": "2026-03-01", "due_at": "2026-04-01"}
    record = {**base.record, "level": "quick", "expires": "2026-06-02T05:06:07Z", "sign_off": {"preparer": "ann, 2026-03-05"}}
    return replace(base, forget=replace(base.forget, request=request), record=record)


@pytest.fixture(scope="module")
def front():
    """The words of the page before its annex."""
    page = render_html(asked())
    body = page[page.index("<body>") : page.index('<section id="annex"')]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).replace(":", ": ").split()).replace(" ,", ",").replace(" :", "")


QUESTIONS = re.findall(r"^\d+\. (.+\?)$", PAGE.read_text(encoding="utf-8"), flags=re.M)


def test_the_page_asks_twelve_questions():
    assert len(QUESTIONS) == len(ANSWERS) == 12


@pytest.mark.parametrize("number", range(12))
def test_the_front_answers(front, number):
    words = front.replace("\u202f", " ").replace("\xa0", " ")
    for answer in ANSWERS[number]:
        assert " ".join(answer.replace(":", ": ").split()) in words, QUESTIONS[number]


def test_every_group_that_lost_has_a_row_and_the_own_group_comes_first():
    table = build_view(asked())["people"]["table"]
    assert [row[0] for row in table["rows"]] == [
        "digit below 5, dark paper\ngroup of the forget set",
        "digit from 5, dark paper",
        "digit from 5, white paper",
        "digit below 5, white paper",
    ]


def test_groups_without_a_row_are_named():
    base = audits.many_groups()
    people = build_view(base)["people"]
    lost = int(re.search(r"(\d+) of \d+ groups", people["answer"]).group(1))
    rows = [row for row in people["table"]["rows"] if "group of the forget set" not in row[0]]
    named = int(people["more"].split()[0])
    assert named + len(rows) >= lost - 1
    assert len(rows) <= 10
    listed = people["more"].partition(": ")[2].rstrip(".").split("; ")
    assert not {row[0].partition("\n")[0] for row in people["table"]["rows"]} & set(listed)


def test_without_a_version_before_nothing_is_claimed():
    base = audits.judged(Decision.PASS)
    alone = replace(base, metrics=tuple(v for v in base.metrics if v.subject == CANDIDATE), baseline=None)
    people = build_view(alone)["people"]
    assert "is not known" in people["answer"]
    assert people["table"]["rows"] == []


def test_classes_that_stand_for_groups_are_no_fairness_between_people():
    base = audits.judged(Decision.PASS)
    alone = tuple(v for v in base.metrics if v.group is None or v.group.attribute == 0)
    counts = tuple(count for count in base.data.groups if count.group.attribute == 0)
    people = build_view(replace(base, metrics=alone, data=replace(base.data, groups=counts)))["people"]
    assert "Fairness between people was not measured" in people["detail"]
    assert "Fairness between people" not in build_view(base)["people"]["detail"]


def test_what_was_not_measured_for_one_reason_stands_together():
    facts = build_view(asked())["unmeasured"]
    assert len({fact["label"] for fact in facts}) == len(facts)


def test_a_rule_that_only_warns_and_is_broken_is_named():
    base = audits.judged(Decision.PASS)
    broken = tuple(
        replace(rule, severity="warn", decision=Decision.BREACH) if rule.metric == "EO" else rule for rule in base.verdict.rules
    )
    people = build_view(base.with_verdict(replace(base.verdict, rules=broken)))["people"]
    assert people["state"] == "pass"
    assert "Warned, which does not block a release: Equalized-odds gap." in people["detail"]
