"""Verdicts: three states, families, waivers, and what fails closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from unittest import mock

import numpy as np
import pytest
from pydantic import ValidationError
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from grmu_audit.intervals import Area, Difference, Gap, PairedCounts, Proportion
from grmu_audit.metrics import catalog
from grmu_audit.metrics.catalog.spec import MetricSpec
from grmu_audit.metrics.outcome import MetricPlugin
from grmu_audit.policy import Policy, evaluate
from grmu_audit.policy.judgement import REVERSAL
from grmu_audit.policy.multiplicity import holm_decides, p_value
from grmu_audit.records import (
    BASELINE,
    CANDIDATE,
    NOT_LARGEST,
    Audit,
    DataRecord,
    Decision,
    ForgetRecord,
    Group,
    MetricValue,
    ModelRef,
    reference,
)
from grmu_audit.utils.plugins import Registry

TODAY = date(2026, 6, 1)


def value(name, statistic, subject=CANDIDATE, **more) -> MetricValue:
    n = more.pop("n", getattr(statistic, "n", 100))
    return MetricValue(name, subject, statistic.estimate, n, interval=statistic.interval(0.95), statistic=statistic, **more)


def audit(*metrics, baseline=True, references=1) -> Audit:
    ref = ModelRef("m", "1")
    return Audit(
        ref,
        DataRecord("d", {}),
        ForgetRecord(3, "h", ()),
        tuple(metrics),
        baseline=ref if baseline else None,
        references=(ref,) * references,
    )


def policy(*rules, **more) -> Policy:
    full = [{"id": f"r{i}", **rule} for i, rule in enumerate(rules)]
    return Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", "rules": full, **more})


def decisions(found) -> list[str]:
    return [r.decision.value for r in found.rules]


@pytest.mark.parametrize(
    ("k", "bound", "wanted"),
    [
        (90, {"min": 0.5}, "PASS"), (30, {"min": 0.5}, "BREACH"), (52, {"min": 0.5}, "INCONCLUSIVE"),
        (10, {"max": 0.5}, "PASS"), (90, {"max": 0.5}, "BREACH"), (48, {"max": 0.5}, "INCONCLUSIVE"),
        (50, {"within": [0.3, 0.7]}, "PASS"), (95, {"within": [0.3, 0.7]}, "BREACH"), (5, {"within": [0.3, 0.7]}, "BREACH"),
        (65, {"within": [0.3, 0.7]}, "INCONCLUSIVE"), (52, {"min": 0.5, "evidence": "point"}, "PASS"),
        (48, {"min": 0.5, "evidence": "point"}, "BREACH"),
    ],
)  # fmt: skip
def test_absolute_bounds(k, bound, wanted):
    found = evaluate(audit(value("GA", Proportion(k, 100))), policy({"metric": "GA", **bound}), today=TODAY)
    assert decisions(found) == [wanted]
    assert found.decision.value == wanted
    assert (found.rules[0].needed is not None) == (wanted == "INCONCLUSIVE")
    assert found.rules[0].interval == pytest.approx(proportion_confint(k, 100, 0.05, "wilson"), abs=1e-9)
    assert f"{k:.1f} %" in found.rules[0].reason


@pytest.mark.parametrize(
    ("counts", "bound", "wanted"),
    [
        ((500, 5, 5, 90), {"min_change": -0.05}, "PASS"), ((300, 5, 200, 95), {"min_change": -0.05}, "BREACH"),
        ((60, 2, 3, 35), {"min_change": -0.02}, "INCONCLUSIVE"), ((500, 5, 5, 90), {"max_gap": 0.05}, "PASS"),
        ((300, 200, 5, 95), {"max_gap": 0.05}, "BREACH"), ((300, 200, 5, 95), {"max_change": 0.1}, "BREACH"),
    ],
)  # fmt: skip
def test_changes_against_baseline_and_reference(counts, bound, wanted):
    statistic = PairedCounts(*counts)
    for compare, subject in (("baseline", BASELINE.as_change()), ("reference", reference(1).as_change())):
        found = evaluate(
            audit(value("GA", statistic, subject, n=sum(counts))),
            policy({"metric": "GA", "compare": compare, **bound}),
            today=TODAY,
        )
        assert decisions(found) == [wanted]
        assert "points" in found.rules[0].reason


def test_the_mean_over_references_is_judged_where_there_are_several():
    good, bad = Proportion(99, 100), Proportion(50, 100)
    same = Difference(good, good)
    worse = Difference(bad, good)
    found = evaluate(
        audit(value("TA", worse, reference(1).as_change()), value("TA", same, reference(0).as_change()), references=2),
        policy({"metric": "TA", "compare": "reference", "max_gap": 0.2}),
        today=TODAY,
    )
    assert found.decision is Decision.PASS


def test_the_family_shares_the_error_and_the_shown_interval_is_the_one_that_decides():
    metrics = audit(value("GA", Proportion(60, 100)), value("TA", Proportion(60, 100)))
    rules = [
        {"metric": "GA", "min": 0.3},
        {"metric": "TA", "min": 0.3, "severity": "warn"},
        {"metric": "UA", "max": 0.9, "compare": "absolute"},
    ]
    shared = evaluate(metrics, policy(*rules), today=TODAY)
    assert shared.rules[0].interval == pytest.approx(proportion_confint(60, 100, 0.05 / 3, "wilson"), abs=1e-9)
    alone = evaluate(metrics, policy(*rules, multiplicity="none"), today=TODAY)
    assert alone.rules[0].interval == pytest.approx(proportion_confint(60, 100, 0.05, "wilson"), abs=1e-9)


def test_holm_decides_what_bonferroni_leaves_open_and_agrees_with_statsmodels():
    rng = np.random.default_rng(0)
    for _ in range(20):
        rules = [(Proportion(int(rng.binomial(100, p)), 100), (0.5, 1.0)) for p in rng.uniform(0.5, 0.75, 5)]
        tested = [p_value(*rule) for rule in rules]
        with mock.patch("gc.collect"):  # multipletests collects garbage in every call, which takes seconds late in a run
            reject = multipletests([p for p, _ in tested], 0.05, "holm")[0]
        made = holm_decides(rules, 0.05, 5)
        assert [d is not Decision.INCONCLUSIVE for d in made] == reject.tolist()
    p, decision = p_value(Proportion(60, 100), (0.5, 1.0))
    assert p == pytest.approx(0.0455, abs=5e-4)
    assert decision is Decision.PASS
    metrics = audit(value("GA", Proportion(90, 100)), value("TA", Proportion(60, 100)))
    rules = [{"metric": "GA", "min": 0.5}, {"metric": "TA", "min": 0.5}]
    assert decisions(evaluate(metrics, policy(*rules), today=TODAY)) == ["PASS", "INCONCLUSIVE"]
    stepped = evaluate(metrics, policy(*rules, multiplicity="holm"), today=TODAY)
    assert decisions(stepped) == ["PASS", "PASS"]
    assert "Holm" in stepped.rules[1].reason
    assert stepped.rules[1].interval[0] < 0.5


def test_a_value_on_its_bound_is_undecided_at_every_error_and_holds_no_other_rule_back():
    on_it = Proportion(50, 100)
    assert p_value(on_it, (0.5, 1.0)) == (1.0, Decision.INCONCLUSIVE)
    assert holm_decides([(on_it, (0.5, 1.0)), (Proportion(65, 100), (0.5, 1.0))], 0.05, 2) == [
        Decision.INCONCLUSIVE,
        Decision.PASS,
    ]
    metrics = audit(value("GA", on_it), value("TA", Proportion(90, 100)))
    rules = [{"metric": "GA", "min": 0.5}, {"metric": "TA", "min": 0.5}]
    assert decisions(evaluate(metrics, policy(*rules, multiplicity="holm"), today=TODAY)) == ["INCONCLUSIVE", "PASS"]


def test_needed_says_how_many_samples_would_decide_and_they_do():
    found = evaluate(
        audit(value("GA", Proportion(55, 100), smallest_group=Group(1, 0), smallest_cell=100)),
        policy({"metric": "GA", "min": 0.5}),
        today=TODAY,
    )
    text = found.rules[0].needed
    assert "test samples of group (target 1, attribute 0) instead of 100" in text
    wanted = int(text.split("about ")[1].split()[0].replace(",", ""))
    assert proportion_confint(0.55 * wanted, wanted, 0.05, "wilson")[0] >= 0.5
    assert proportion_confint(0.55 * (wanted - 5), wanted - 5, 0.05, "wilson")[0] < 0.5
    on_it = evaluate(audit(value("GA", Proportion(50, 100))), policy({"metric": "GA", "min": 0.5}), today=TODAY)
    assert "no number of samples" in on_it.rules[0].needed
    people = evaluate(audit(value("GA", Proportion(55, 100), subjects=20)), policy({"metric": "GA", "min": 0.5}), today=TODAY)
    assert "people in all; now 20" in people.rules[0].needed


good = Proportion(99, 100)


@pytest.mark.parametrize(
    ("metric", "rule", "reason"),
    [
        (None, {"min": 0.1}, "GA was not measured"),
        (replace(value("GA", good), value=None, why_missing="n = 0"), {"min": 0.1}, "GA is undefined: n = 0"),
        (replace(value("GA", good), value=float("nan")), {"min": 0.1}, "GA is undefined"),
        (
            replace(value("GA", good), incomplete=True, empty_cells=(Group(0, 1),)),
            {"min": 0.1},
            "no test sample of group (target 0, attribute 1)",
        ),
        (replace(value("GA", good), smallest_cell=29), {"min": 0.1}, "has 29 samples; the policy requires at least 30"),
        (replace(value("GA", good), statistic=None, interval=None), {"min": 0.1}, "no interval"),
        (replace(value("GA", good), value=0.5), {"min": 0.1}, "the audit file was altered"),
        (value("GA", good), {"min_change": -0.1, "compare": "baseline"}, "has no baseline"),
        (value("GA", good), {"max_gap": 0.1, "compare": "reference"}, "has no reference"),
    ],
)
@pytest.mark.parametrize("evidence", ["interval", "point"])
def test_what_cannot_be_judged_never_passes(metric, rule, reason, evidence):
    if "no interval" in reason:
        evidence = "interval"  # a point rule uses the estimate alone
    facts = audit(*([metric] if metric else []), baseline=False, references=0)
    found = evaluate(facts, policy({"metric": "GA", "evidence": evidence, **rule}), today=TODAY)
    assert found.decision is Decision.INCONCLUSIVE
    assert reason in found.rules[0].reason


@pytest.mark.parametrize(
    ("made_at", "metric", "ends"),
    [
        ("quick", "PGD@0.03137", "not measured: it needs an audit at level standard"),
        ("quick", "RMIA_AUC", "not measured: it needs an audit at level deep"),
        ("standard", "AA@0.03137", "not measured: it needs an audit at level deep"),
        ("deep", "RMIA_AUC", "not measured"),
        ("standard", "GA", "not measured"),
    ],
)
def test_a_rule_on_a_metric_of_a_deeper_level_says_which(made_at, metric, ends):
    found = evaluate(replace(audit(), record={"level": made_at}), policy({"metric": metric, "min": 0.1}), today=TODAY)
    assert found.decision is Decision.INCONCLUSIVE
    assert found.rules[0].reason.rstrip(".").endswith(ends)


def test_a_rule_on_a_third_party_metric_of_a_deeper_level_says_which(monkeypatch):
    plugins = Registry("metric", "grmu_audit.none")
    spec = MetricSpec("NEW", "t", "s", "h", "f", "s", "n", level="standard")
    plugins.add("NEW", MetricPlugin(spec, measure=lambda checked: None))
    monkeypatch.setattr(catalog, "PLUGINS", plugins)
    reasons = []
    for made_at in ("quick", "standard", "unknown"):
        found = evaluate(replace(audit(), record={"level": made_at}), policy({"metric": "NEW", "min": 0.1}), today=TODAY)
        reasons.append(found.rules[0].reason)
    shallow, *deep = reasons
    assert shallow == "Not decided: NEW was not measured: it needs an audit at level standard."
    assert deep == ["Not decided: NEW was not measured."] * 2


def test_allow_incomplete_judges_what_is_there():
    small = replace(value("GA", good), incomplete=True, empty_cells=(Group(0, 1),), smallest_cell=5)
    assert (
        evaluate(audit(small), policy({"metric": "GA", "min": 0.1, "allow_incomplete": True}), today=TODAY).decision
        is Decision.PASS
    )


def test_a_recorded_interval_serves_only_where_it_is_wide_enough():
    bare = replace(value("GA", good), statistic=None)
    assert evaluate(audit(bare), policy({"metric": "GA", "min": 0.1}), today=TODAY).decision is Decision.PASS
    two = policy({"metric": "GA", "min": 0.1}, {"metric": "GA", "max": 0.9})
    assert decisions(evaluate(audit(bare), two, today=TODAY)) == ["INCONCLUSIVE", "INCONCLUSIVE"]


def test_an_undecided_value_without_its_statistic_says_that_the_samples_cannot_be_counted():
    bare = replace(value("GA", Proportion(55, 100)), statistic=None)
    (found,) = evaluate(audit(bare), policy({"metric": "GA", "min": 0.5}), today=TODAY).rules
    assert found.decision is Decision.INCONCLUSIVE
    assert found.needed == "the sufficient statistic is not recorded, so that the number of samples cannot be computed"


def test_a_one_sided_rule_without_limits_decides_nothing():
    rule = {"metric": "GA", "min": 0.1, "evidence": "one-sided"}
    bare = replace(value("GA", good), statistic=None, interval=None)
    (found,) = evaluate(audit(bare), policy(rule), today=TODAY).rules
    assert (found.decision, found.interval) == (Decision.INCONCLUSIVE, None)
    assert found.reason == "Not decided: the audit records no interval at this confidence."
    said = replace(bare, why_missing="one person says nothing about others")
    (found,) = evaluate(audit(said), policy(rule), today=TODAY).rules
    assert found.reason == "Not decided: one person says nothing about others."


def test_no_rule_no_blocking_rule_no_pass():
    facts = audit(value("GA", good), references=0)
    assert evaluate(facts, policy(), today=TODAY).decision is Decision.INCONCLUSIVE
    assert (
        evaluate(facts, policy({"metric": "GA", "min": 0.1, "severity": "warn"}), today=TODAY).decision is Decision.INCONCLUSIVE
    )
    only = policy({"metric": "GA", "compare": "reference", "max_gap": 0.1, "when": "reference_available"})
    found = evaluate(facts, only, today=TODAY)
    assert found.decision is Decision.INCONCLUSIVE
    assert not found.rules[0].applied


def test_a_rule_that_is_not_applied_costs_no_error_and_decides_nothing():
    rules = [
        {"metric": "GA", "min": 0.1},
        {"metric": "GA", "compare": "reference", "max_gap": 0.1, "when": "reference_available"},
    ]
    found = evaluate(audit(value("GA", good), references=0), policy(*rules), today=TODAY)
    assert found.decision is Decision.PASS
    assert found.rules[0].interval == pytest.approx(proportion_confint(99, 100, 0.05, "wilson"), abs=1e-9)


def test_warn_rules_never_block_and_breach_outranks_inconclusive():
    metrics = audit(value("GA", good), value("TA", Proportion(50, 100)), value("UA", Proportion(1, 100)))
    keep = {"metric": "GA", "min": 0.5}
    assert (
        evaluate(metrics, policy(keep, {"metric": "UA", "min": 0.5, "severity": "warn"}), today=TODAY).decision is Decision.PASS
    )
    both = policy(keep, {"metric": "TA", "min": 0.5}, {"metric": "UA", "min": 0.5})
    found = evaluate(metrics, both, today=TODAY)
    assert found.decision is Decision.BREACH
    assert found.reason == "1 of 3 blocking rules breached: r2."


@pytest.mark.parametrize(
    ("expires", "k", "wanted", "waived"),
    [
        ("2026-06-01", 1, "PASS", True),
        ("2026-05-31", 1, "BREACH", False),
        ("2026-05-31", 99, "PASS", False),
        ("2026-05-31", 50, "BREACH", False),
        ("2026-06-01", 50, "INCONCLUSIVE", False),
    ],
)
def test_waivers(expires, k, wanted, waived):
    waiver = {"rule": "r0", "reason": "ticket", "approved_by": "board", "expires": expires}
    made = policy({"metric": "GA", "min": 0.5}, waivers=[waiver])
    found = evaluate(audit(value("GA", Proportion(k, 100))), made, today=TODAY)
    assert found.decision.value == wanted
    assert found.rules[0].waived is waived
    assert found.waivers == (waiver,)


def test_ep_of_another_positive_class_is_not_judged():
    gap = Gap(((Proportion(50, 100), Proportion(50, 100)),), "max")
    facts = audit(value("EP", gap, details={"positive_class": 0}))
    assert "another positive class" in evaluate(facts, policy({"metric": "EP", "max": 0.9}), today=TODAY).rules[0].reason
    assert evaluate(facts, policy({"metric": "EP", "max": 0.9}, positive_class=0), today=TODAY).decision is Decision.PASS


def test_a_change_of_ep_of_another_positive_class_is_not_judged():
    change = value("EP", Difference(Proportion(50, 100), Proportion(50, 100)), BASELINE.as_change())
    facts = replace(audit(change), record={"positive_class": 0})
    rule = {"metric": "EP", "compare": "baseline", "max_gap": 0.9}
    assert "another positive class" in evaluate(facts, policy(rule), today=TODAY).rules[0].reason
    assert evaluate(facts, policy(rule, positive_class=0), today=TODAY).decision is Decision.PASS


def test_rules_on_one_group():
    group = {"target": 1, "attribute": 0}
    facts = audit(value("accuracy", good, group=Group(1, 0)), value("accuracy", Proportion(1, 100), group=Group(0, 0)))
    found = evaluate(facts, policy({"metric": "accuracy", "group": group, "min": 0.5}), today=TODAY)
    assert found.decision is Decision.PASS
    assert found.rules[0].group == Group(1, 0)


def test_needed_names_the_split_of_the_smallest_cell():
    curve = Area(0.6, 0.05, 50, 40)
    rule = policy({"metric": "MIA_AUC", "max": 0.65})
    by_test = evaluate(audit(value("MIA_AUC", curve, n=90, smallest_cell=40, smallest_group=Group(1, 0))), rule, today=TODAY)
    assert "test samples of group (target 1, attribute 0), the smallest cell" in by_test.rules[0].needed
    by_forget = evaluate(audit(value("MIA_AUC", curve, n=90, smallest_cell=35)), rule, today=TODAY)
    assert "forget samples instead of 35" in by_forget.rules[0].needed
    few = evaluate(audit(value("MIA_AUC", curve, n=90, smallest_cell=20)), rule, today=TODAY)
    assert few.rules[0].needed == "at least 30 forget samples instead of 20, before the rule can be judged"


def test_needed_names_the_smallest_cell_within_a_control_attribute():
    gap = Gap(((Proportion(90, 100), Proportion(80, 100)),), "max")
    named = {"control_attributes": ["age"], "smallest_cell": "female"}
    facts = audit(value("CONDITIONAL_ACCURACY_GAP", gap, n=200, smallest_cell=100, details=named))
    facts = replace(facts, record={"control_attributes": ["age"]})
    rule = {"metric": "CONDITIONAL_ACCURACY_GAP", "max": 0.15}
    (found,) = evaluate(facts, policy(rule, control_attributes=["age"]), today=TODAY).rules
    assert found.decision is Decision.INCONCLUSIVE
    assert "test samples of female, the smallest cell, and as many times more of the others, instead of 100" in found.needed


def test_a_reason_gives_a_value_in_the_unit_of_its_metric():
    slow = MetricValue("RELEARN", CANDIDATE, 3.0, 40, unit="epochs", interval=(2.0, 4.0), confidence=0.99)
    reason = evaluate(audit(slow), policy({"metric": "RELEARN", "compare": "absolute", "min": 5}), today=TODAY).rules[0].reason
    assert (
        reason
        == "RELEARN is 3 epochs (interval 2 epochs to 4 epochs): the whole interval lies beyond the bound at least 5 epochs."
    )
    gap = Difference(Proportion(50, 100), Proportion(99, 100))
    found = evaluate(
        audit(value("TA", gap, reference(1).as_change())),
        policy({"metric": "TA", "compare": "reference", "max_gap": 0.2}),
        today=TODAY,
    )
    assert found.rules[0].reason.endswith("beyond the bound at most 20.0 points in either direction.")


def test_a_reason_never_counts_a_handful_of_people():
    few = value("UA", Proportion(2, 3), smallest_cell=3)
    found = evaluate(audit(few), policy({"metric": "UA", "max": 0.9}), today=TODAY).rules[0]
    assert "has fewer than 5 samples" in found.reason
    assert found.needed == "at least 30 forget samples instead of fewer than 5, before the rule can be judged"
    kept = value("RA", Proportion(990, 1097))
    reason = evaluate(audit(kept), policy({"metric": "RA", "compare": "absolute", "min": 0.5}), today=TODAY).rules[0].reason
    assert "1,097" not in reason
    many = replace(audit(kept), forget=ForgetRecord(40, "h", ()))
    assert "n = 1,097" in evaluate(many, policy({"metric": "RA", "min": 0.5}), today=TODAY).rules[0].reason


def test_training_on_rows_of_an_earlier_request_breaches_every_policy_and_nothing_waives_it():
    facts = audit(value("TA", Proportion(190, 200)))
    facts = replace(facts, forget=replace(facts.forget, request={"reversed": ["request R-1, hmac-sha256:00... of m/2"]}))
    rules = {"metric": "TA", "min": 0.5}
    waiver = {"rule": REVERSAL, "reason": "x", "approved_by": "y", "expires": date(2030, 1, 1)}
    with pytest.raises(ValidationError, match=REVERSAL):
        policy(rules, minimum_group_size=1, waivers=[waiver])
    found = evaluate(facts, policy(rules, minimum_group_size=1), today=TODAY)
    assert decisions(found) == ["PASS", "BREACH"]
    assert found.decision is Decision.BREACH
    assert found.rules[1].reason.endswith("had forgotten: request R-1, hmac-sha256:00... of m/2.")


@pytest.mark.parametrize(("rows", "decision"), [(0, "PASS"), (7, "BREACH")])
def test_a_demand_on_predictions_is_judged_beside_the_rules_and_a_reversal(rows, decision):
    facts = audit(value("TA", Proportion(190, 200)))
    record = {NOT_LARGEST: {"candidate": rows}} if rows else {}
    facts = replace(facts, record=record, forget=replace(facts.forget, request={"reversed": ["request R-1 of m/2"]}))
    demanding = policy({"metric": "TA", "min": 0.5}, minimum_group_size=1, predictions="largest_score")
    assert decisions(evaluate(facts, demanding, today=TODAY)) == [decision, "PASS", "BREACH"]
    facts = replace(facts, forget=replace(facts.forget, request={}))
    found = evaluate(facts, demanding, today=TODAY)
    assert (decisions(found), found.decision.value) == ([decision, "PASS"], decision)
