from dataclasses import replace

import pytest
from support import audits

from grmu_audit.records import CheckResult, DataCheckReport, Decision, NotMeasured
from grmu_audit.report import build_view
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.sentences import rule_sentence, short_time
from grmu_audit.report.wording.strings import load_strings


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
        ({"n": 3}, "Suppressed: rests on fewer than 5 samples."),
        ({"applied": False}, "it decides nothing."),
        ({"compare": "elsewhere", "reason": "because"}, "Because."),
    ],
)
def test_rules_in_plain_words(changes, words):
    assert words in said(**changes)


def summary(audit):
    return {fact["label"]: fact["value"] for fact in build_view(audit)["summary"]}


def test_page_one_says_what_was_requested_done_and_what_it_did_to_people():
    lines = summary(audits.judged(Decision.BREACH))
    assert list(lines) == [
        "What was requested",
        "What was done",
        "What it did to people",
        "Why this verdict",
        "What was not measured",
        "What happens next",
    ]
    assert "gradient ascent (training in reverse on the samples to forget)" in lines["What was done"]
    assert (
        "The group that lost most is “digit below 5, dark paper”: from 90.8\xa0% to 41.2\xa0%." in lines["What it did to people"]
    )
    assert "Rules that only warn and are not met: 1 (close-to-retraining)." in lines["Why this verdict"]


def test_page_one_names_the_waivers_in_force():
    base = audits.judged(Decision.BREACH)
    rules = tuple(replace(rule, waived=rule.decision is Decision.BREACH) for rule in base.verdict.rules)
    waiver = {"rule": "dominant-group-accuracy-kept", "reason": "GOV-112", "approved_by": "Kim", "expires": "2027-01-31"}
    lines = summary(base.with_verdict(replace(base.verdict, decision=Decision.PASS, rules=rules, waivers=(waiver,))))
    assert lines["Waivers"] == "The breach of “dominant-group-accuracy-kept” is accepted until 2027-01-31 by Kim: GOV-112."


def test_what_was_not_measured_is_said_once():
    named = (
        NotMeasured("strong membership attacks", "RMIA and LiRA need a pool of shadow models"),
        NotMeasured("robustness", "no adversarial attack (FGSM, PGD) and no fairness-gap by layer was run"),
        NotMeasured("representations", "CKA, probes and relearn time were not computed"),
        NotMeasured("Robustness", "said twice"),
    )
    rows = build_view(replace(audits.judged(Decision.PASS), not_measured=named))["not_measured"]["rows"]
    words = ["Robustness to adversarial inputs", "What the features still hold of the forget set"]
    assert [row[0] for row in rows] == [
        "strong membership attacks",
        *words,
        "Membership attack at 0.1 % false positives\nMIA_TPR_01",
    ]


def test_times_are_shown_in_utc_whatever_their_zone():
    assert short_time("2026-03-04T05:06:07Z") == "2026-03-04 05:06 UTC"
    assert short_time("2026-03-04T00:30:00+05:45") == "2026-03-03 18:45 UTC"
    assert short_time("2026-03-04T99:99") == "2026-03-04T99:99"
    assert short_time(None) == "not recorded"


def test_a_change_of_a_metric_that_is_no_fraction_is_never_called_the_same():
    gap = said(metric="FAIRNESS_GAP", compare="reference", observed=0.031, interval=None, bound={"max_gap": 0.5})
    assert "is 0.031 above that of the retrained model" in gap
    assert "is the same as that of the retrained model" in said(
        metric="FAIRNESS_GAP", compare="reference", observed=0.0, interval=None, bound={"max_gap": 0.5}
    )


def test_an_undecided_rule_says_why_even_where_its_value_lies_in_the_allowed_range():
    within = {"metric": "MIA_AUC", "compare": "absolute", "bound": {"within": [0.3, 0.7]}, "observed": 0.678}
    reason = "Not decided: the forget set behind MIA_AUC has fewer than 5 samples; the policy requires at least 30."
    words = said(**within, interval=None, decision=Decision.INCONCLUSIVE, reason=reason)
    assert words.endswith(f"The policy requires a value between 30.0 % and 70.0 %. {reason}")
    crossing = said(**within, interval=(0.6, 0.75), decision=Decision.INCONCLUSIVE)
    assert crossing.endswith("Part of that range is allowed and part is not, so the samples do not decide.")
    assert said(**within, interval=(0.6, 0.69)).endswith("between 30.0 % and 70.0 %.")


@pytest.mark.parametrize(
    ("multiplicity", "words"),
    [("bonferroni", " for all rules together."), ("none", " for each rule on its own."), ("other.way", " (other.way).")],
)
def test_the_confidence_is_joint_only_where_the_policy_makes_it_so(multiplicity, words):
    base = audits.judged(Decision.PASS)
    intro = build_view(base.with_verdict(replace(base.verdict, multiplicity=multiplicity)))["rules_intro"]
    assert f"95 % confidence{words}" in intro.replace("\xa0", " ")


def test_a_released_version_is_not_said_to_wait_for_its_release():
    audit = audits.judged(Decision.PASS)
    lines = {
        fact["label"]: fact["value"] for fact in build_view(audit, after={"current_champion": audit.subject.label})["summary"]
    }
    assert lines["What happens next"].startswith("The version was released")
    assert "may be released" in summary(audit)["What happens next"]


def test_a_forget_set_too_small_to_be_counted_is_not_given_away_by_other_counts():
    base = audits.judged(Decision.PASS)
    counts = tuple(replace(c, forget=3 * (c.forget == 38), retain=c.train - 3 * (c.forget == 38)) for c in base.data.groups)
    total = sum(c.train for c in counts)
    data = replace(base.data, groups=counts, splits={**base.data.splits, "retain": total - 3, "forget": 3})
    metrics = tuple(replace(v, n={"RA": total - 3, "UA": 3, "MIA_AUC": 108}.get(v.name, v.n)) for v in base.metrics)
    checks = DataCheckReport(
        (
            CheckResult("forget", "at least one row", True, True, "3 rows"),
            CheckResult("retain", "at least one row", True, True, f"{total - 3} rows"),
        ),
        "gx",
        "77aa",
    )
    subject = replace(base.subject, config={**base.subject.config, "sample_gradients": 3})
    small = replace(base, subject=subject, data=data, metrics=metrics, data_quality=checks, forget=replace(base.forget, count=3))
    view = build_view(small)
    assert "learned from fewer than 5 training samples" in summary(small)["What was requested"]
    shown = str(list(view["blocks"])) + str(view["rules"])
    assert str(total - 3) not in shown.replace(",", "")
    assert "'108'" not in shown
    assert "3 rows" not in shown
    facts = {fact["label"]: fact["value"] for block in view["blocks"] for fact in block["facts"]}
    assert facts["Sample-gradients"] == facts["Cost against retraining"] == "suppressed"
    assert facts["Samples to forget"] == "< 5"
