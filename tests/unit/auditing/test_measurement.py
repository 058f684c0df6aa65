"""Audits measured from predictions and records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from support.measured_audits import measured, model
from support.outcomes import values_of
from support.prediction_tables import table, written

from grmu_audit.auditing.audit_files import as_read_back
from grmu_audit.auditing.measurement import measure
from grmu_audit.auditing.prediction_files import read_predictions
from grmu_audit.auditing.scoring import score
from grmu_audit.policy import Policy
from grmu_audit.policy.judgement import judge
from grmu_audit.records import (
    SPLITS,
    AuditContext,
    AuditInputs,
    DataRecord,
    Decision,
    ForgetRecord,
    Group,
    MeasureOptions,
    Predictions,
    reference,
)

GOLDEN = Path(__file__).parents[2] / "golden"


def test_ga_of_a_tie_is_the_same_from_a_prediction_file_and_from_a_manifest(tmp_path):
    """Two groups with 6 forget samples each: the registry path takes its groups from the manifest's group table."""
    from grmu_audit.data.forget import group_table, request_groups
    from grmu_audit.records import Splits

    frame = table(400, seed=3)
    groups = frame["target"] * 2 + frame["attribute"]
    frame.loc[frame["split"] == "forget", "split"] = "retain"
    for group in (1, 2):
        frame.loc[frame.index[(groups == group) & (frame["split"] == "retain")][:6], "split"] = "forget"
    scored = score(written(tmp_path, frame))
    manifest = frame.assign(split=frame["split"].replace({"retain": "train", "forget": "train"}))
    parts = Splits(**{split: tuple(np.flatnonzero(frame["split"] == split).tolist()) for split in SPLITS})
    dominant = request_groups(group_table(manifest, parts, ["no", "yes"], ["f", "m"]))
    predictions = read_predictions(tmp_path / "p.csv")
    registered = measured(predictions, forget=ForgetRecord(12, "hmac-sha256:x", dominant))
    assert scored.forget.dominant_groups == dominant == (Group(0, 1), Group(1, 0))
    assert scored.metric("GA").value == registered.metric("GA").value
    of_one = measured(predictions, forget=ForgetRecord(12, "hmac-sha256:x", dominant[:1]))
    assert of_one.metric("GA").value != scored.metric("GA").value


def test_references_with_reweight_are_the_yardstick(tmp_path):
    sides = [read_predictions(written(tmp_path, table(400, seed=1, logit_1=table(400, seed=s)["logit_1"]))) for s in range(3)]
    references = (model(sides[1]), model(sides[2], "2", reweight=True))
    audit = measure(AuditInputs(model(sides[0], "3"), references=references), AuditContext(DataRecord("d", {})))
    assert audit.record["yardstick"] == ["reference#2"]
    assert audit.metric("TA", reference(0).as_change()).value == audit.metric("TA", reference(2).as_change()).value
    assert audit.metric("TA", reference(0).as_change()).value != audit.metric("TA", reference(1).as_change()).value


def test_given_records_are_used_and_names_are_shown():
    p = read_predictions(GOLDEN / "group_without_positives.csv")
    named = replace(p, class_names=("no", "yes"), attribute_names=("a", "b"))
    forget = ForgetRecord(25, "hmac-sha256:1", (Group(1, 0),), {"ratio": 0.5})
    context = AuditContext(DataRecord("d", {}), forget, record={"created": "then", "tool": "t"})
    audit = measure(AuditInputs(model(named)), context)
    assert audit.forget == forget
    assert (audit.record["created"], audit.record["tool"]) == ("then", "t")
    assert [g.name for g in audit.data.groups] == ["no / a", "no / b", "yes / a", "yes / b"]
    assert audit.data.groups[3].test == 0


def test_two_hundred_thousand_samples_are_judged_by_twenty_rules():
    n, rng = 200_000, np.random.default_rng(0)
    target, attribute = rng.integers(0, 2, n), rng.integers(0, 2, n)
    logits = rng.normal(size=(n, 2)) + np.eye(2)[target]
    split = np.where(np.arange(n) < 160_000, 0, rng.integers(2, 4, n))
    split[:200] = 1
    p = Predictions(np.arange(n).astype(str), split, target, attribute, logits.argmax(axis=1), 2, 2, logits=logits)
    rules = [
        {"id": f"r{i}", "metric": m, "max": 0.999}
        for i, m in enumerate(["RA", "TA", "GA", "WG", "EO", "DP", "EP", "UA", "VA", "MIA_AUC"] * 2)
    ]
    accepted = {"null_control": "accept", "null_control_reason": "there is no model before"}
    policy = Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", "rules": rules, **accepted})
    from grmu_audit.metrics import check_predictions
    from grmu_audit.metrics.accuracy import measure_accuracy
    from grmu_audit.metrics.fairness import measure_fairness
    from grmu_audit.metrics.membership.attacks import measure_membership, run_score_attack

    audit = measured(read_predictions(GOLDEN / "group_without_positives.csv"))
    checked = check_predictions(p)
    membership = measure_membership(checked, run_score_attack(checked))
    values = tuple(values_of([*measure_accuracy(checked), *measure_fairness(checked), *membership]))
    verdict = judge(replace(audit, metrics=values), policy).verdict
    assert verdict.decision is Decision.PASS


def test_the_options_of_an_audit_are_those_that_its_policy_makes():
    chosen = {"confidence": 0.9, "positive_class": 0, "intervals": "clopper-pearson"}
    policy = Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", "rules": [], **chosen})
    p = read_predictions(GOLDEN / "binary.csv")
    for options in (policy.measure_options(4), MeasureOptions(attack_score="loss", gap_variant="paper")):
        audit = measure(AuditInputs(model(p)), AuditContext(DataRecord("d", {})), options)
        assert audit.options == as_read_back(audit).options == options
        assert audit.metric("TA").confidence == options.confidence
    assert "intervals" not in audit.record
