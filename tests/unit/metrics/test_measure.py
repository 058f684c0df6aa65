"""Rates by group against fairlearn, rules on groups, and no forward pass for a new policy, group definition or metric."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score
from support.measured_audits import measured
from support.random_predictions import made, named
from support.shadow_margins import problem

from grmu_audit.errors import InputError
from grmu_audit.metrics import check_predictions, measure_models, measure_predictions
from grmu_audit.metrics.catalog.examples import example, example_white_box
from grmu_audit.metrics.membership.shadow_metrics import METHOD_ATTACKS
from grmu_audit.policy import Policy, evaluate
from grmu_audit.records import Decision, Group, ModelRef, Predictions
from grmu_audit.records.audit import MeasureOptions
from grmu_audit.records.inputs import AuditedModel, AuditInputs
from grmu_audit.records.white_box import ShadowTable

GOLDEN = Path(__file__).parents[2] / "golden"
SUBJECTS = ("candidate", "baseline")


@pytest.fixture(scope="module")
def values():
    return {(v.name, v.group): v for v in measure_predictions(example())}


def test_group_rates_agree_with_fairlearn(values):
    p = example()
    test = p.mask("test")
    columns = {"y_true": p.target[test], "y_pred": p.prediction[test], "sensitive_features": p.attribute[test]}
    rates = {"tpr": true_positive_rate, "fpr": false_positive_rate, "rate": selection_rate}
    frame = MetricFrame(metrics=rates, **columns)
    for s in (0, 1):
        assert values["accuracy", Group(1, s)].value == pytest.approx(frame.by_group["tpr"][s], abs=1e-12)
        assert values["accuracy", Group(0, s)].value == pytest.approx(1 - frame.by_group["fpr"][s], abs=1e-12)
    gaps = frame.difference()
    assert values["EP", None].value == pytest.approx(gaps["tpr"], abs=1e-12)
    assert values["DP", None].value == pytest.approx(gaps["rate"], abs=1e-12)
    assert values["EO", None].value == pytest.approx((gaps["tpr"] + gaps["fpr"]) / 2, abs=1e-12)


def test_group_rates_and_areas_are_those_that_torchmetrics_and_aequitas_gave(values):
    """``other_tools.json`` holds what these packages, which are not installed here, printed for the same predictions."""
    other = json.loads((GOLDEN / "other_tools.json").read_text())
    found = {(y, s): values["accuracy", Group(y, s)].value for y in (0, 1) for s in (0, 1)}
    for s in (0, 1):
        tp, fp, tn, fn = other["torchmetrics"]["tp_fp_tn_fn"][f"group_{s}"]
        assert found[1, s] == pytest.approx(tp / (tp + fn), abs=1e-6)  # its numbers have single precision
        assert found[0, s] == pytest.approx(tn / (tn + fp), abs=1e-6)
        assert found[1, s] == pytest.approx(other["aequitas"]["tpr"][str(s)], abs=1e-12)
        assert found[0, s] == pytest.approx(1 - other["aequitas"]["fpr"][str(s)], abs=1e-12)
    rates = other["aequitas"]["pprev"]
    assert values["DP", None].value == pytest.approx(abs(rates["1"] - rates["0"]), abs=1e-12)
    assert values["MIA_AUC", Group(1, 0)].value == pytest.approx(other["torchmetrics"]["auroc"], abs=1e-6)


def test_intersections_agree_with_fairlearn_and_the_worst_group_is_its_minimum(values):
    p = example()
    test = p.mask("test")
    features = np.stack([p.target[test], p.attribute[test]], axis=1)
    frame = MetricFrame(metrics=accuracy_score, y_true=p.target[test], y_pred=p.prediction[test], sensitive_features=features)
    for (y, s), wanted in frame.by_group.items():
        assert values["accuracy", Group(int(y), int(s))].value == pytest.approx(wanted, abs=1e-12)
    assert values["WG", None].value == pytest.approx(frame.group_min(), abs=1e-12)


def test_a_rule_may_name_a_group_of_a_metric_that_has_them():
    rules = [
        {"id": "ua", "metric": "UA", "group": {"target": 1, "attribute": 0}, "max": 1.0, "severity": "inform"},
        {"id": "auc", "metric": "MIA_AUC", "group": {"target": 1, "attribute": 0}, "within": [0.3, 0.7]},
        {"id": "none", "metric": "RETAIN_AUC", "group": {"target": 1, "attribute": 1}, "min": 0.1},
    ]
    policy = Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", "rules": rules})
    audit = measured(example())
    found = {r.id: r for r in evaluate(audit, policy, today=date(2026, 6, 1)).rules}
    assert found["ua"].decision is found["auc"].decision is Decision.PASS
    assert found["auc"].observed == audit.metric("MIA_AUC", group=Group(1, 0)).value
    assert found["none"].decision is Decision.INCONCLUSIVE
    assert "was not measured" in found["none"].reason


def test_new_policy_metric_and_groups_make_no_forward_pass():
    """Torch and the packages with the forward pass are not even loaded."""
    code = f"""
import sys
from dataclasses import replace
from datetime import date
import numpy as np
from grmu_audit.auditing.prediction_files import read_predictions
from grmu_audit.auditing.scoring import score
from grmu_audit.policy.judgement import judge
from grmu_audit.intervals import Proportion
from grmu_audit.metrics import Basis, MetricPlugin, MetricSpec, Outcome, measure_predictions
from grmu_audit.metrics.catalog import PLUGINS
from grmu_audit.policy import load, load_named

path = {str(GOLDEN / "binary.csv")!r}
audit = score(__import__("pathlib").Path(path), policy=load(__import__("pathlib").Path({str(GOLDEN / "policy.yaml")!r})))
again = judge(audit, load_named("default"), date(2026, 6, 1))
assert again.verdict.policy_sha256 != audit.verdict.policy_sha256
spec = MetricSpec("NEW", "t", "s", "h", "f", "s", "n")
PLUGINS.add("NEW", MetricPlugin(spec, lambda checked: Outcome("NEW", Basis(4), Proportion(3, 4))))
p = read_predictions(__import__("pathlib").Path(path))
values = measure_predictions(replace(p, attribute=np.arange(len(p)) % 5, attributes=5))
assert any(v.name == "NEW" and v.value == 0.75 for v in values)
assert len([v for v in values if v.name == "accuracy"]) == 10
heavy = {{"torch", "mlflow", "great_expectations", "grmu_audit.evaluation", "grmu_audit.models", "grmu_audit.training"}}
sys.exit(len(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_missing_makes_values_undefined_with_a_reason():
    p = made(scores=False)
    values = measure_predictions(p)
    for name in ("MIA", "MIA_PAPER", "MIA_AUC"):
        assert named(values, name).value is None
        assert "needs logits" in named(values, name).why_missing
    no_forget = replace(made(), split=np.where(made().split == 1, 0, made().split))
    values = measure_predictions(no_forget)
    for name in ("UA", "GA", "UA_GA_GAP", "MIA", "MIA_PAPER", "MIA_AUC"):
        assert named(values, name).value is None
        assert "no forget sample" in named(values, name).why_missing
    one_value = replace(made(), attribute=np.zeros(600, dtype=np.int64), attributes=1)
    for name in ("EO", "DP", "EP"):
        assert "fewer than two attribute values" in named(measure_predictions(one_value), name).why_missing
    no_test = replace(made(), split=np.where(made().split == 3, 0, made().split))
    for name in ("TA", "GA", "WG", "EO", "MIA_AUC"):
        assert named(measure_predictions(no_test), name).value is None
        assert named(measure_predictions(no_test), name).why_missing
    losses = replace(made(scores=False), loss=np.random.default_rng(0).exponential(size=600))
    assert named(measure_predictions(losses), "MIA").value is not None
    assert "loss" in named(measure_predictions(losses), "MIA_AUC").details["scores"]
    assert named(measure_predictions(losses, MeasureOptions(attack_score="loss")), "MIA_AUC").value is not None


def test_unknown_choices_are_refused():
    with pytest.raises(InputError, match="unknown variant 'papr'"):
        check_predictions(made(), MeasureOptions(gap_variant="papr"))
    with pytest.raises(InputError, match="unknown attack score 'margn'"):
        check_predictions(made(), MeasureOptions(attack_score="margn"))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(2, 3),
    st.integers(1, 3),
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 1e5]),
)
def test_nothing_crashes_warns_or_becomes_nan(n, classes, attributes, seed, clustered, size):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * size
    p = Predictions(
        ids=np.array([str(i) for i in range(n)]), split=rng.integers(0, 4, n), target=rng.integers(0, classes, n),
        attribute=rng.integers(0, attributes, n), prediction=logits.argmax(axis=1), classes=classes, attributes=attributes,
        logits=logits, subject=rng.integers(0, 3, n) if clustered else None,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = measure_predictions(p)
    for v in values:
        assert (v.value is None) <= (v.why_missing is not None)
        if v.value is not None:
            assert np.isfinite(v.value)
            assert v.interval[0] <= v.value <= v.interval[1]
            assert v.statistic.estimate == pytest.approx(v.value)
            assert v.interval[1] - v.interval[0] > 0


@pytest.mark.parametrize("size", [1.1e6, 1e31, -1e31])
def test_logits_that_no_working_network_gives_are_refused_with_their_row(size):
    p = made()
    logits = np.zeros((len(p), 2))
    logits[2, 0] = size
    with pytest.raises(InputError, match=r"a logit beyond 1,000,000, which no working network gives in row 3"):
        check_predictions(replace(p, logits=logits))


def test_thousands_of_groups_of_one_sample_do_not_hang():
    n = 6_000
    p = Predictions(
        ids=np.arange(n).astype(str),
        split=np.arange(n) % 4,
        target=np.arange(n) % 2,
        attribute=np.arange(n),
        prediction=np.zeros(n, dtype=np.int64),
        classes=2,
        attributes=n,
    )
    values = measure_predictions(p)
    assert named(values, "WG").value == 0.0
    assert named(values, "WG").incomplete


def test_means_over_references_rest_on_those_with_reweight_at_every_level():
    def model(kind, seed, reweight):
        white_box = example_white_box(kind)
        moved = replace(
            white_box, features=white_box.features + np.random.default_rng(seed).normal(size=white_box.features.shape)
        )
        return AuditedModel(ModelRef(kind, str(seed), reweight=reweight), example(kind, seed=seed), moved)

    references = (model("retrained", 1, False), model("retrained", 2, True))
    found = measure_models(AuditInputs(model("unlearned", 0, False), model("baseline", 0, False), references))
    values = {(v.name, str(v.subject)): v.value for v in found.values if v.group is None}
    for name in ("TA", "MIA_AUC", "KNN", "PROBE", "FGSM@0.03137", "FAIRNESS_GAP"):
        assert values[name, "candidate-reference"] == values[name, "candidate-reference#2"], name
    assert values["KNN", "candidate-reference#1"] != values["KNN", "candidate-reference#2"]
    distance = next(v for v in found.values if (v.name, str(v.subject)) == ("CKA", "candidate"))
    assert distance.value == distance.details["per_reference"]["reference#2"]
    assert {v.unit for v in found.values if v.name == "JS"} == {"bits"}
    assert set(found.notes) == {"gap_against_robustness"}
    assert found.dominant_groups == (Group(1, 0),)
    alone = measure_models(AuditInputs(replace(references[0], white_box=None)))
    assert alone.notes == {}
    assert {str(v.subject) for v in alone.values} == {"candidate"}


def test_shadow_models_attack_every_model_and_the_method_once():
    checked, shadows = problem(0, 2.0, left=1.0)
    four = ShadowTable(shadows.ids, *(getattr(shadows, name)[:4] for name in ("margin", "member")), shadows.population)
    unlearned = replace(four, unlearned=shadows.unlearned[:4], forgotten=shadows.forgotten[:4])
    models = [AuditedModel(ModelRef("m", version), checked.predictions) for version in "21"]
    for table, method in ((four, set()), (unlearned, set(METHOD_ATTACKS))):
        found = measure_models(AuditInputs(*models, shadows=table)).values
        names = {subject: [v.name for v in found if str(v.subject) == subject and v.group is None] for subject in SUBJECTS}
        for subject in SUBJECTS:
            assert [names[subject].count(name) for name in ("RMIA_AUC", "LIRA_AUC", "REMAINING_SHARE")] == [1, 1, 1]
        assert set(names["candidate"]) & set(METHOD_ATTACKS) == method
        assert not set(names["baseline"]) & set(METHOD_ATTACKS)
