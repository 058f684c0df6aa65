"""Rates by group against fairlearn, rules on groups, and no forward pass for a new policy, group definition or metric."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from sklearn.metrics import accuracy_score
from support.measured_audits import measured

from grmu_audit.metrics import measure
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.policy import Policy, evaluate
from grmu_audit.records import Decision, Group

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def values():
    return {(v.name, v.group): v for v in measure(example())}


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
        {"id": "ua", "metric": "UA", "group": {"target": 1, "attribute": 0}, "max": 1.0},
        {"id": "auc", "metric": "MIA_AUC", "group": {"target": 1, "attribute": 0}, "within": [0.3, 0.7]},
        {"id": "none", "metric": "RETAIN_AUC", "group": {"target": 1, "attribute": 1}, "min": 0.0},
    ]
    policy = Policy.model_validate({"schema": "grmu-audit/policy/v1", "name": "p", "rules": rules})
    audit = measured(example())
    found = {r.id: r for r in evaluate(audit, policy, today=date(2026, 6, 1)).rules}
    assert found["ua"].decision is found["auc"].decision is Decision.PASS
    assert found["auc"].observed == audit.metric("MIA_AUC", group=Group(1, 0)).value
    assert found["none"].decision is Decision.INCONCLUSIVE
    assert "was not measured" in found["none"].reason


def test_new_policy_metric_and_groups_make_no_forward_pass():
    """What could make one is not even loaded: torch, and the rooms that hold the forward pass."""
    code = f"""
import sys
from datetime import date
import numpy as np
from grmu_audit.auditing.prediction_files import read_predictions
from grmu_audit.auditing.scoring import score
from grmu_audit.policy.judgement import judge
from grmu_audit.metrics import measure
from grmu_audit.metrics.catalog import PLUGINS
from grmu_audit.metrics.catalog.spec import MetricSpec
from grmu_audit.metrics.checked_predictions import with_groups
from grmu_audit.intervals.proportions import proportion
from grmu_audit.metrics.catalog.spec import MetricPlugin
from grmu_audit.metrics.outcome import Outcome
from grmu_audit.metrics.outcome import Basis
from grmu_audit.policy import load, load_named

path = {str(GOLDEN / "binary.csv")!r}
audit = score(__import__("pathlib").Path(path), policy=load(__import__("pathlib").Path({str(GOLDEN / "policy.yaml")!r})))
again = judge(audit, load_named("default"), date(2026, 6, 1))
assert again.verdict.policy_sha256 != audit.verdict.policy_sha256
spec = MetricSpec("NEW", "t", "s", "h", "f", "s", "n")
PLUGINS.add("NEW", MetricPlugin(spec, lambda f: Outcome(Basis(4), proportion(3, 4))))
p = read_predictions(__import__("pathlib").Path(path))
values = measure(with_groups(p, np.arange(len(p)) % 5))
assert any(v.name == "NEW" and v.value == 0.75 for v in values)
assert len([v for v in values if v.name == "accuracy"]) == 10
heavy = {{"torch", "mlflow", "great_expectations", "grmu_audit.evaluation", "grmu_audit.models", "grmu_audit.training"}}
sys.exit(len(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
