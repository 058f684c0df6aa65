"""Was it forgotten?  One sentence for every case, and nothing that claims more than the audit knows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import audits

from grmu_audit.records import Audit, ControlOutcome, Decision, ExactEvidence
from grmu_audit.report import build_view
from grmu_audit.report.content.forgetting import answer_of, share_scale
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.wording.strings import load_strings

PASSED = audits.judged(Decision.PASS)


def with_share(audit: Audit, **changes: object) -> Audit:
    """The audit with another forgetting share."""
    values = tuple(replace(v, **changes) if v.name == "FORGET_SHARE" else v for v in audit.metrics)
    return replace(audit, metrics=values)


def with_rules(audit: Audit, *names: str, **changes: object) -> Audit:
    """The audit with these rules alone, changed so."""
    rules = tuple(replace(rule, **changes) for rule in audit.verdict.rules if rule.id in names)
    return replace(audit, verdict=replace(audit.verdict, rules=rules))


def with_verdict(**changes: object) -> Audit:
    return replace(PASSED, verdict=replace(PASSED.verdict, **changes))


def undefined(reason: str, **details: object) -> Audit:
    open_rule = replace(PASSED.verdict, rules=audits.rules(Decision.INCONCLUSIVE))
    shown = {"value": None, "interval": None, "statistic": None, "why_missing": reason, "details": details}
    return with_share(replace(PASSED, verdict=open_rule), **shown)


CHEAT = ControlOutcome("before, logits x 0.3", True, Decision.PASS, ("forgotten",), ())
UNSEEN = "forget-set-looks-unseen"
TOLD = tuple(replace(control, met=()) for control in PASSED.verdict.controls)

CASES = {
    "EXACT": (audits.exact(), "pass"),
    "SHOWN": (PASSED, "pass"),
    "NOT_DECIDED": (audits.judged(Decision.INCONCLUSIVE), "inconclusive"),
    "TOO_LITTLE": (audits.judged(Decision.BREACH), "breach"),
    "TOO_MUCH": (
        with_verdict(rules=(*PASSED.verdict.rules, replace(audits.rules(Decision.BREACH)[3], bound={"max": 2.0}))),
        "breach",
    ),
    "CANNOT_TELL": (with_verdict(controls=(CHEAT,)), "inconclusive"),
    "ACCEPTED": (with_verdict(controls=(CHEAT,), null_control_accepted="a pilot"), "inconclusive"),
    "NO_CLAIM": (with_verdict(claims_forgetting=False), "not-judged"),
    "NO_TRACE": (undefined("no measurable trace: 0.1", trace=-0.1, forget_samples_that_would_decide=1350), "inconclusive"),
    "NO_REFERENCE": (replace(undefined("no reference model was given"), references=()), "inconclusive"),
    "NO_BASELINE": (replace(undefined("needs the model before unlearning"), baseline=None), "inconclusive"),
    "UNDEFINED": (undefined("fewer than 20 people in the forget set"), "inconclusive"),
    "MEASURED": (audits.unjudged(), "not-judged"),
    "NOTHING_DONE": (replace(PASSED, unchanged=True), "breach"),
    "NOTHING_ASKED": (audits.everything_undefined(), "not-judged"),
    "EARLIER": (audits.earlier(), "not-judged"),
    "RULES_MET": (with_rules(with_verdict(controls=TOLD), UNSEEN), "pass"),
    "RULES_BROKEN": (with_rules(PASSED, UNSEEN, decision=Decision.BREACH), "breach"),
    "RULES_OPEN": (with_rules(PASSED, UNSEEN, decision=Decision.INCONCLUSIVE), "inconclusive"),
}


@pytest.mark.parametrize("key", CASES)
def test_every_case_has_its_sentence(key: str) -> None:
    audit, state = CASES[key]
    answer = answer_of(Lookup.of(audit))
    assert (answer.key, answer.state) == (key, state)
    shown = build_view(audit)["forgetting"]
    assert shown["state"] == state
    assert "{" not in shown["answer"]


def test_there_is_a_case_for_every_sentence() -> None:
    assert set(load_strings().node("forgotten.answers")) == set(CASES)


def test_rules_that_a_null_control_meets_as_well_do_not_show_that_it_was_forgotten() -> None:
    assert answer_of(Lookup.of(with_rules(PASSED, UNSEEN))).key == "CANNOT_TELL"
    without = with_rules(with_verdict(controls=()), UNSEEN)
    assert answer_of(Lookup.of(without)).key == "NO_BASELINE"


def test_evidence_that_was_not_verified_is_no_answer_and_says_why() -> None:
    evidence = ExactEvidence(False, "m/2 has no record of the rows that it read: retrain it again.")
    audit = replace(undefined("no reference model was given"), exact=evidence, references=())
    shown = build_view(audit)["forgetting"]
    assert shown["answer"].startswith("Not decided")
    assert shown["detail"] == "M/2 has no record of the rows that it read: retrain it again."


def test_the_method_s_guarantee_says_what_was_checked() -> None:
    def said(audit: Audit) -> str:
        block = next(block for block in build_view(audit)["blocks"] if block["id"] == "method")
        return next(fact["value"] for fact in block["facts"] if fact["label"] == "Exact, approximate or certified")

    assert said(audits.exact()).startswith("exact: photodigits-v1/4 was trained from fresh weights")
    failed = replace(audits.exact(), exact=ExactEvidence(False, "the record is damaged."))
    assert said(failed) == "not verified: the record is damaged."
    assert said(replace(audits.exact(), exact=None)) == "trained again; it was not checked which rows were read"


CERTIFICATE = {"epsilon": 0.5, "delta": 1e-4, "gradient_norm_bound": 0.0123456, "epsilon_allowed": 2}


@pytest.mark.parametrize(
    ("method", "certificate", "words"),
    [
        (
            "certified",
            CERTIFICATE,
            "certified: epsilon 0.5, delta 0.0001 (bound 0.0123 on the loss gradient), of removals up to 2",
        ),
        ("certified", {**CERTIFICATE, "delta": None}, "approximate: nothing is guaranteed"),
        ("miu", CERTIFICATE, "approximate: nothing is guaranteed"),
    ],
)
def test_the_guarantee_of_a_certified_removal_is_its_bound_where_it_is_recorded(
    method: str, certificate: dict[str, object], words: str
) -> None:
    subject = replace(PASSED.subject, method=method, config={"certified": certificate})
    block = next(block for block in build_view(replace(PASSED, subject=subject))["blocks"] if block["id"] == "method")
    (said,) = (fact["value"] for fact in block["facts"] if fact["label"] == "Exact, approximate or certified")
    assert said.startswith(words)


def test_the_headline_says_what_the_policy_does_not_claim() -> None:
    assert build_view(CASES["NO_CLAIM"][0])["headline"].endswith("This policy claims nothing on forgetting.")
    accepted = build_view(CASES["ACCEPTED"][0])["headline"]
    assert accepted.endswith("It accepts that a model that forgot nothing may meet it: A pilot.")


def test_rules_on_forgetting_that_the_version_before_meets_are_marked() -> None:
    marked = [row["id"] for row in build_view(PASSED)["rules"] if row["tells_nothing"]]
    assert marked == [UNSEEN]
    assert [row["id"] for row in build_view(audits.exact())["rules"] if row["tells_nothing"]] == []


def test_the_scale_has_the_limit_that_decided_and_the_references_spread() -> None:
    scale = share_scale(Lookup.of(audits.rich()))
    assert scale is not None
    assert scale.limit == audits.SHARES[Decision.PASS].limits(0.1)[0] > scale.interval[0]
    assert scale.allowed == (0.25, None)
    assert scale.references == (1.13, 0.89)
    alone = share_scale(Lookup.of(audits.unjudged()))
    assert alone is not None
    assert (alone.limit, alone.allowed, alone.references) == (pytest.approx(scale.limit), (None, None), ())


def test_a_range_that_a_rule_allows_has_both_ends_on_the_scale() -> None:
    changed = with_rules(PASSED, "forgotten", bound={"within": [0.25, 2.0]})
    scale = share_scale(Lookup.of(changed))
    assert scale is not None
    assert scale.allowed == (0.25, 2.0)
    assert scale.limit == audits.SHARES[Decision.PASS].limits(0.1)[0]  # a least share is required: the interval that decided


def test_the_table_of_controls_names_the_rules_that_are_not_met() -> None:
    table = build_view(PASSED)["forgetting"]["controls"]
    assert [row[:2] for row in table["rows"]] == [
        ["Version before", "BREACH"], ["The same, logits x 0.3", "BREACH"], ["The same, labels only", "BREACH"],
        ["Retrained model 1", "PASS"],
    ]  # fmt: skip
    assert [row[2] for row in table["rows"]] == ["forgotten", "forgotten", "forgotten", "none"]
