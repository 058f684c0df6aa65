"""Rules against the root of a lineage: small losses add up, and null controls apply."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from support.measured_audits import measured_chain

from grmu_audit.metrics.catalog.examples import example
from grmu_audit.policy import Policy, evaluate, load_named
from grmu_audit.records import BASELINE, ROOT, Audit, Decision, ModelRef, Predictions, reference

TODAY = date(2026, 6, 1)
BEFORE, RETRAINED = example("baseline"), example("retrained")
STEP = {"id": "step", "metric": "TA", "compare": "baseline", "min_change": -0.05}
WHOLE = {"id": "whole", "metric": "TA", "compare": "root", "min_change": -0.05}
PARENT = ModelRef("m", "2", parent="m/1")


def policy(*rules: dict, **more: object) -> Policy:
    return Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", "rules": rules, **more})


def worse(table: Predictions, share: float) -> Predictions:
    """The same model with that share of its test rows turned wrong."""
    rng = np.random.default_rng(5)
    turned = table.mask("test") & (rng.random(len(table)) < share) & (table.prediction == table.target)
    prediction = np.where(turned, 1 - table.target, table.prediction)
    logits = np.where(turned[:, None], table.logits[:, ::-1], table.logits)
    return replace(table, prediction=prediction, logits=logits)


@pytest.fixture(scope="module")
def chain() -> Audit:
    """Root, a baseline that lost 4 points, a candidate that lost 3 more."""
    return measured_chain(worse(BEFORE, 0.085), worse(BEFORE, 0.045), BEFORE)


def decisions(audit: Audit, *rules: dict) -> dict[str, str]:
    return {rule.id: rule.decision.value for rule in evaluate(audit, policy(*rules), today=TODAY).rules}


def test_losses_that_are_small_in_each_step_are_a_breach_of_the_whole(chain: Audit) -> None:
    assert chain.root == ModelRef("m", "1")
    whole, step = (chain.metric("TA", subject.as_change()) for subject in (ROOT, BASELINE))
    assert whole is not None
    assert step is not None
    assert whole.value == pytest.approx(chain.metric("TA").value - chain.metric("TA", ROOT).value)  # type: ignore[union-attr, operator]
    assert decisions(chain, STEP, WHOLE) == {"step": "PASS", "whole": "BREACH"}
    outcome = evaluate(chain, policy(STEP, WHOLE), today=TODAY).rules[1]
    assert "the change of TA against the root is" in outcome.reason


def test_the_history_goes_from_the_root_to_the_candidate(chain: Audit) -> None:
    rows = chain.curves["lineage"]
    assert [row["version"] for row in rows] == ["m/1", "m/2", "m/3"]
    assert [row["TA"][0] for row in rows] == [chain.metric("TA", subject).value for subject in (ROOT, BASELINE)] + [  # type: ignore[union-attr]
        chain.metric("TA").value  # type: ignore[union-attr]
    ]
    assert all(low < value < high for row in rows for value, low, high in (row["TA"], row["GA"], row["RA"]))


def test_where_the_baseline_is_the_root_its_rule_decides_and_the_family_does_not_grow() -> None:
    audit = measured_chain(worse(BEFORE, 0.045), BEFORE, None)
    found = evaluate(audit, policy(STEP, WHOLE), today=TODAY)
    alone = evaluate(audit, policy(STEP), today=TODAY)
    assert found.rules[0] == alone.rules[0]
    assert (found.rules[1].applied, found.rules[1].reason[:12]) == (False, "not applied:")
    assert "step bounds the same change" in found.rules[1].reason
    for other in ({**STEP, "min_change": -0.06}, {**STEP, "metric": "RA"}, {**STEP, "severity": "warn"}):
        kept = evaluate(audit, policy(other, WHOLE), today=TODAY).rules[1]
        assert kept.applied
        assert kept.observed == alone.rules[0].observed


def test_a_waiver_of_the_rule_against_the_baseline_does_not_waive_the_one_against_the_root() -> None:
    audit = measured_chain(worse(BEFORE, 0.2), BEFORE, None)
    waiver = {"rule": "step", "reason": "ticket", "approved_by": "board", "expires": date(2030, 1, 1)}
    found = evaluate(audit, policy(STEP, WHOLE, waivers=[waiver]), today=TODAY)
    assert [(rule.decision, rule.waived) for rule in found.rules] == [(Decision.BREACH, True), (Decision.BREACH, False)]
    assert found.decision is Decision.BREACH


def test_an_audit_of_before_roots_were_compared_with_does_not_pass() -> None:
    audit = replace(measured_chain(BEFORE, worse(BEFORE, 0.01), None), baseline=PARENT)
    outcome = evaluate(audit, policy(STEP, WHOLE), today=TODAY).rules[1]
    assert outcome.decision is Decision.INCONCLUSIVE
    assert "not measured: root" in outcome.reason
    assert "root" not in audit.to_json()
    assert Audit.from_json(audit.to_json()) == audit


def test_null_controls_and_references_are_judged_by_the_root_too() -> None:
    chain = measured_chain(example(), worse(BEFORE, 0.09), BEFORE, [RETRAINED])
    unseen = {"id": "unseen", "metric": "MIA_AUC", "within": [0.1, 0.9]}
    found = evaluate(chain, policy(WHOLE, unseen), today=TODAY)
    null = {control.name: control for control in found.controls if control.null}
    assert len(null) == 3
    assert all("whole" in control.not_met for control in null.values())
    same = measured_chain(example(), BEFORE, BEFORE, [RETRAINED])
    assert all("whole" in control.met for control in evaluate(same, policy(WHOLE, unseen), today=TODAY).controls if control.null)
    made = {c.name: {v.name: v for v in c.values if v.subject == ROOT.as_change() and v.group is None} for c in same.controls}
    assert made["before"]["TA"] == made["before, labels only"]["TA"]
    assert (made["before"]["TA"].value, made["before"]["MIA_AUC"].value) == (0, 0)
    assert made["before, labels only"]["MIA_AUC"].value != 0
    wanted = same.metric("TA", reference(1)).value - same.metric("TA", ROOT).value  # type: ignore[union-attr, operator]
    assert made["reference#1"]["TA"].value == pytest.approx(wanted)


def test_a_metric_that_has_no_change_is_not_measured_against_the_root(chain: Audit) -> None:
    rule = {"id": "a", "metric": "FORGET_SHARE", "compare": "root", "max_gap": 0.1}
    assert decisions(chain, rule) == {"a": "INCONCLUSIVE"}


@pytest.mark.parametrize("name", ["default", "strict", "fairness-only"])
def test_the_packaged_policies_bound_the_whole_lineage_as_they_bound_a_step(name: str) -> None:
    rules = load_named(name).rules
    steps = {(rule.metric, rule.region) for rule in rules if rule.compare == "baseline"}
    assert steps == {(rule.metric, rule.region) for rule in rules if rule.compare == "root"}
    assert {metric for metric, _ in steps} == {"GA", "TA", "RA"}
