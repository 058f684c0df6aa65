from dataclasses import replace

import pytest
from support import audits

from grmu_audit.records import Decision, NotMeasured
from grmu_audit.report import build_view
from grmu_audit.report.lookup import Lookup
from grmu_audit.report.plain import moment, rule_sentence
from grmu_audit.report.strings import load_strings


def said(**changes):
    rule = replace(audits.rules(Decision.PASS)[0], **changes)
    return rule_sentence(rule, Lookup.of(audits.unjudged()), load_strings()).replace("\xa0", " ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "fell by 1.1 points compared with before unlearning (likely between a fall of 4.1 points and a rise of 1.9 points)"),
        (
            {"observed": 0.02, "interval": (0.01, 0.03)},
            "rose by 2.0 points compared with before unlearning (likely 1.0 to 3.0 po",
        ),
        (
            {"observed": 0.0, "interval": None},
            "is the same as before unlearning. The policy allows a fall of at most 5.0 points.",
        ),
        ({"bound": {"max_gap": 0.1}, "compare": "reference"}, "a difference of at most 10.0 points in either direction."),
        (
            {"compare": "absolute", "bound": {"min": 0.8}, "observed": 0.9, "interval": (0.85, 0.93)},
            "is 90.0 % (likely 85.0 to 93.0 %).",
        ),
        ({"observed": None, "reason": "GA is undefined: no sample"}, "GA is undefined: no sample."),
        ({"n": 3}, "Hidden: rests on fewer than 5 samples."),
        ({"applied": False}, "it decides nothing."),
        ({"compare": "elsewhere", "reason": "because"}, "Because."),
    ],
)
def test_rules_in_plain_words(changes, words):
    assert words in said(**changes)


def summary(audit):
    return {fact["label"]: fact["value"] for fact in build_view(audit)["summary"]}


def test_page_one_says_what_was_asked_done_and_what_it_did_to_people():
    told = summary(audits.judged(Decision.BREACH))
    assert list(told) == [
        "What was asked",
        "What was done",
        "What it did to people",
        "Why this verdict",
        "What was not measured",
        "What happens next",
    ]
    assert "gradient ascent (training in reverse on the samples to forget)" in told["What was done"]
    assert (
        "The group that lost most is “digit below 5, dark paper”: from 90.8\xa0% to 41.2\xa0%." in told["What it did to people"]
    )
    assert "Rules that only warn and are not met: 1 (close-to-retraining)." in told["Why this verdict"]


def test_page_one_names_the_waivers_in_force():
    base = audits.judged(Decision.BREACH)
    rules = tuple(replace(rule, waived=rule.decision is Decision.BREACH) for rule in base.verdict.rules)
    waiver = {"rule": "dominant-group-accuracy-kept", "reason": "GOV-112", "approved_by": "Kim", "expires": "2027-01-31"}
    told = summary(base.with_verdict(replace(base.verdict, decision=Decision.PASS, rules=rules, waivers=(waiver,))))
    assert told["Waivers"] == "The breach of “dominant-group-accuracy-kept” is accepted until 2027-01-31 by Kim: GOV-112."


def test_what_was_not_measured_is_said_once():
    named = (
        NotMeasured("strong membership attacks", "RMIA and LiRA need a pool of shadow models"),
        NotMeasured("robustness", "no adversarial attack (FGSM, PGD) and no fairness-gap by layer was run"),
        NotMeasured("representations", "CKA, probes and relearn time were not computed"),
        NotMeasured("Robustness", "said twice"),
    )
    rows = build_view(replace(audits.judged(Decision.PASS), not_measured=named))["not_measured"]["rows"]
    words = ["Robustness to adversarial inputs", "What the features still hold of the forgotten"]
    assert [row[0] for row in rows] == ["strong membership attacks", *words, "MIA_TPR_01"]


def test_times_are_told_in_utc_whatever_their_zone():
    assert moment("2026-03-04T05:06:07Z") == "2026-03-04 05:06 UTC"
    assert moment("2026-03-04T00:30:00+05:45") == "2026-03-03 18:45 UTC"
    assert moment("2026-03-04T99:99") == "2026-03-04T99:99"
    assert moment(None) == "not recorded"
