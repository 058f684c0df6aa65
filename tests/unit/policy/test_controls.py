"""Verdicts of audits with controls: a model that forgot nothing never passes, and exact evidence counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.measured_audits import measured

from grmu_audit.metrics.catalog.examples import example
from grmu_audit.metrics.controls import cheats
from grmu_audit.policy import Policy, evaluate, load_named
from grmu_audit.records import EARLIER_SCHEMA, Audit, Decision, ExactEvidence, ModelRef
from grmu_audit.records.audit import PURGED, SHOWN_BEFORE

TODAY = date(2026, 6, 1)
BEFORE, RETRAINED = example("baseline"), example("retrained")
FAIRNESS = {"metric": "TA", "compare": "baseline", "min_change": -0.05}
SHARE = {"metric": "FORGET_SHARE", "min": 0.25, "evidence": "one-sided"}
WEAK = {"metric": "MIA_AUC", "within": [0.1, 0.9]}


def policy(*rules: dict, **more: object) -> Policy:
    full = [{"id": f"r{i}", **rule} for i, rule in enumerate(rules)]
    return Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", "rules": full, **more})


@pytest.fixture(scope="module")
def audit() -> Audit:
    return measured(example(), BEFORE, [RETRAINED])


def test_a_policy_that_the_model_before_meets_passes_nothing(audit: Audit) -> None:
    found = evaluate(audit, policy(FAIRNESS, WEAK), today=TODAY)
    assert [rule.decision for rule in found.rules] == [Decision.PASS, Decision.PASS]
    assert found.decision is Decision.INCONCLUSIVE
    assert found.reason.startswith("On this data the policy cannot tell this version from one that forgot nothing (before)")
    assert found.met_by_before("r1")


def test_a_policy_that_only_the_candidate_meets_passes(audit: Audit) -> None:
    loose = {**SHARE, "min": 0.1}
    found = evaluate(audit, policy(FAIRNESS, WEAK, loose), today=TODAY)
    assert found.decision is Decision.PASS
    assert {c.name: c.decision for c in found.controls if c.null} == {
        "before": Decision.BREACH, "before, logits x 0.3": Decision.BREACH, "before, labels only": Decision.BREACH,
    }  # fmt: skip
    assert not found.met_by_before("r2")


def test_accepting_the_null_control_needs_a_reason_which_the_verdict_says(audit: Audit) -> None:
    with pytest.raises(ValueError, match="null_control: accept needs a reason"):
        policy(FAIRNESS, WEAK, null_control="accept")
    found = evaluate(audit, policy(FAIRNESS, WEAK, null_control="accept", null_control_reason="a pilot"), today=TODAY)
    assert found.decision is Decision.PASS
    assert found.null_control_accepted == "a pilot"


def test_a_policy_without_forgetting_rules_says_that_it_claims_nothing(audit: Audit) -> None:
    found = evaluate(audit, policy(FAIRNESS), today=TODAY)
    assert found.decision is Decision.PASS
    assert not found.claims_forgetting
    warned = policy(FAIRNESS, {**WEAK, "severity": "warn"})
    assert not warned.claims_forgetting


def test_a_pass_is_renewed_after_a_purge_only_where_forgetting_was_shown_before(audit: Audit) -> None:
    purged = replace(audit, record={**audit.record, PURGED: {"baseline": "m/1 was purged"}})
    found = evaluate(purged, policy(FAIRNESS, WEAK), today=TODAY)
    assert found.decision is Decision.INCONCLUSIVE
    assert found.reason.startswith("Forgetting was never shown of this version")
    accepted = policy(FAIRNESS, WEAK, null_control="accept", null_control_reason="a pilot")
    assert evaluate(purged, accepted, today=TODAY).decision is Decision.INCONCLUSIVE
    unclaimed = evaluate(purged, policy(FAIRNESS), today=TODAY)
    assert unclaimed.decision is Decision.PASS
    assert unclaimed.reason.endswith("Forgetting was not measured again: m/1 was purged.")
    shown = replace(purged, record={**purged.record, SHOWN_BEFORE: "the audit of 2026-01-01 did"})
    renewed = evaluate(shown, policy(FAIRNESS, WEAK), today=TODAY)
    assert renewed.decision is Decision.PASS
    assert renewed.reason.endswith("m/1 was purged; the audit of 2026-01-01 did.")
    assert not renewed.claims_forgetting


def test_without_the_model_before_nothing_is_shown() -> None:
    found = evaluate(measured(example()), policy({"metric": "TA", "min": 0.1}, WEAK), today=TODAY)
    assert found.decision is Decision.INCONCLUSIVE
    assert found.reason.startswith("Without the version before unlearning nothing shows")


def test_a_stored_audit_of_the_earlier_schema_is_judged_by_its_rules_alone(audit: Audit) -> None:
    earlier = replace(audit, schema=EARLIER_SCHEMA, controls=())
    assert evaluate(earlier, policy(FAIRNESS, WEAK), today=TODAY).decision is Decision.PASS


def test_unchanged_outputs_are_a_breach_whatever_the_policy_says() -> None:
    found = evaluate(measured(BEFORE, BEFORE, [RETRAINED]), policy(FAIRNESS), today=TODAY)
    assert found.decision is Decision.BREACH
    assert found.reason.startswith("Nothing was done")


@pytest.mark.parametrize("name", list(cheats(BEFORE)))
def test_the_cheats_do_not_pass_the_packaged_policies(name: str) -> None:
    audit = measured(cheats(BEFORE)[name], BEFORE, [RETRAINED])
    for packaged in ("default", "strict"):
        assert evaluate(audit, load_named(packaged), today=TODAY).decision is not Decision.PASS


def test_a_rule_that_was_not_measured_for_a_control_is_taken_as_met(audit: Audit) -> None:
    forest = {"metric": "MIA", "min": 0.01}
    found = evaluate(audit, policy(FAIRNESS, forest), today=TODAY)
    assert [c.met for c in found.controls[1:3]] == [("r0", "r1")] * 2
    assert found.decision is Decision.INCONCLUSIVE


def test_where_retrained_models_fail_the_policy_too_the_first_sentence_says_so() -> None:
    worse = replace(RETRAINED, prediction=1 - RETRAINED.prediction, logits=RETRAINED.logits[:, ::-1].copy())
    found = evaluate(measured(example(), BEFORE, [worse]), policy(FAIRNESS, SHARE), today=TODAY)
    assert found.reason.startswith("The retrained model does not meet this policy either (r0)")
    both = evaluate(measured(example(), BEFORE, [worse, worse]), policy(FAIRNESS, SHARE), today=TODAY)
    assert both.reason.startswith("None of the 2 retrained models meets this policy either (r0")
    fine = evaluate(measured(example(), BEFORE, [RETRAINED]), policy(FAIRNESS, SHARE), today=TODAY)
    assert "either" not in fine.reason


VERIFIED = ExactEvidence(True, "m/2 was trained from fresh weights.")


def test_exact_evidence_meets_the_forgetting_rules_by_itself_and_no_other() -> None:
    audit = replace(measured(RETRAINED, BEFORE), exact=VERIFIED)
    found = evaluate(audit, policy(FAIRNESS, SHARE, WEAK), today=TODAY)
    assert found.decision is Decision.PASS
    assert found.rules[1].reason == "Met by exact evidence: m/2 was trained from fresh weights."
    assert "exact" not in found.rules[0].reason
    hurt = policy({**FAIRNESS, "min_change": 0.9}, SHARE)
    assert evaluate(audit, hurt, today=TODAY).decision is Decision.BREACH


def test_a_waiver_counts_for_the_model_before_unlearning_too(audit: Audit) -> None:
    waiver = {"rule": "r0", "reason": "ticket", "approved_by": "board", "expires": date(2030, 1, 1)}
    fallen = {"metric": "UA", "compare": "baseline", "max_change": -0.5}
    found = evaluate(audit, policy(fallen, FAIRNESS, WEAK, waivers=[waiver]), today=TODAY)
    assert found.rules[0].waived
    assert found.controls[0].decision is Decision.PASS
    assert found.decision is Decision.INCONCLUSIVE


def test_a_rule_that_exact_evidence_meets_is_not_waived(audit: Audit) -> None:
    waiver = {"rule": "r0", "reason": "ticket", "approved_by": "board", "expires": date(2030, 1, 1)}
    exact = replace(audit, exact=ExactEvidence(True, "compared"))
    found = evaluate(exact, policy({"metric": "MIA_AUC", "min": 0.95}, waivers=[waiver]), today=TODAY)
    assert (found.rules[0].decision, found.rules[0].waived) == (Decision.PASS, False)
    assert found.reason == "1 of 1 blocking rules met."


@pytest.mark.parametrize(
    ("exact", "decision"),
    [(VERIFIED, Decision.PASS), (ExactEvidence(False, "no record."), Decision.INCONCLUSIVE), (None, Decision.BREACH)],
)
def test_a_policy_can_demand_exact_evidence(audit: Audit, exact: ExactEvidence | None, decision: Decision) -> None:
    found = evaluate(replace(audit, exact=exact), policy(FAIRNESS, guarantee="exact"), today=TODAY)
    assert found.decision is decision


def test_files_cannot_prove_a_reference() -> None:
    loose = policy(FAIRNESS, {**SHARE, "min": 0.1})
    audit = measured(example(), BEFORE, [RETRAINED])
    assert "The reference is a file" not in evaluate(audit, loose, today=TODAY).reason
    files = replace(audit, subject=ModelRef("m", ""))
    assert evaluate(files, loose, today=TODAY).reason.endswith("nothing shows that it was retrained without the forget set.")


@pytest.mark.parametrize(
    ("bound", "decision"),
    [({"min": 0.25}, "INCONCLUSIVE"), ({"min": 0.2}, "PASS"), ({"min": 0.6}, "BREACH"), ({"max": 0.5}, "PASS")],
)
def test_one_sided_rules_use_the_limit_of_the_policy_and_not_of_the_family(audit: Audit, bound: dict, decision: str) -> None:
    """The share is 0.30, one-sided 95 % limits 0.244 and 0.358; with ten rules two-sided limits are 0.21 and 0.40."""
    rules = [{**SHARE, "min": None, **bound}] + [{"metric": "TA", "min": 0.01}] * 9
    rules[0] = {key: item for key, item in rules[0].items() if item is not None}
    assert evaluate(audit, policy(*rules), today=TODAY).rules[0].decision.value == decision


@pytest.mark.parametrize(("top", "decision"), [(0.31, "PASS"), (0.25, "PASS"), (0.1, "BREACH"), (2.0, "PASS")])
def test_unless_breached_is_met_until_the_whole_interval_lies_beyond(audit: Audit, top: float, decision: str) -> None:
    rule = {"metric": "FORGET_SHARE", "max": top, "evidence": "unless-breached"}
    assert evaluate(audit, policy(rule), today=TODAY).rules[0].decision.value == decision


@settings(max_examples=20)
@given(factor=st.floats(0.05, 20), shift=st.floats(-3, 3), noise=st.floats(0, 0.5), seed=st.integers(0, 99))
def test_no_monotone_change_or_noise_on_the_outputs_of_the_model_before_passes(factor, shift, noise, seed) -> None:
    logits = BEFORE.logits * factor + np.array([0.0, shift]) + np.random.default_rng(seed).normal(0, noise, BEFORE.logits.shape)
    cheat = replace(BEFORE, logits=logits, prediction=logits.argmax(axis=1))
    found = evaluate(measured(cheat, BEFORE, [RETRAINED]), load_named("default"), today=TODAY)
    assert found.decision is not Decision.PASS
