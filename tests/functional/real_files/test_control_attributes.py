"""``score`` with control attributes: what a policy or the option names, and what comes out where a stratum is too small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grmu_audit.cli.app import execute
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.records import SPLITS

POLICY = """schema: grmu-audit/policy/v1
name: own
control_attributes: [{control}]
rules:
  - id: within
    metric: {metric}
    {bound}
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table in whose third department only one sex works, and one without it."""
    monkeypatch.chdir(tmp_path)
    for name, third in (("two.csv", False), ("three.csv", True)):
        p = example()
        department = np.random.default_rng(1).integers(0, 2, len(p))
        department = np.where(third & (np.arange(len(p)) % 50 == 0) & (p.attribute == 1), 2, department)
        columns = {"id": p.ids, "split": np.array(SPLITS)[p.split], "target": p.target, "attribute_sex": p.attribute}
        scores = {"logit_0": p.logits[:, 0], "logit_1": p.logits[:, 1]}
        pd.DataFrame({**columns, "attribute_department": department, **scores}).to_csv(name, index=False)


@pytest.mark.parametrize(
    ("file", "metric", "bound", "code"),
    [
        ("two.csv", "CONDITIONAL_DP", "max: 0.4", 0),
        ("two.csv", "CONDITIONAL_DP", "max: 0.05", 1),
        ("two.csv", "CONDITIONAL_IMPACT_RATIO", "min: 0.8", 1),
        ("two.csv", "CONDITIONAL_ACCURACY_GAP", "max: 0.2", 0),
        ("three.csv", "CONDITIONAL_DP", "max: 0.4", 3),
        ("three.csv", "CONDITIONAL_ACCURACY_GAP", "max: 0.2", 3),
    ],
)
def test_a_policy_names_its_control_attributes(file: str, metric: str, bound: str, code: int, capsys) -> None:
    Path("own.yaml").write_text(POLICY.format(control="department", metric=metric, bound=bound))
    line = ["score", "--predictions", file, "--policy", "own.yaml", "--out", "audit.json", "--report", "report.html"]
    assert execute(line) == code
    said = capsys.readouterr().out
    assert ("department=2: fewer than two attribute values" in said) == (code == 3)
    assert json.loads(Path("audit.json").read_text())["record"]["control_attributes"] == ["department"]
    assert metric in Path("report.html").read_text()
    assert execute(["gate", "--audit", "audit.json", "--policy", "own.yaml"]) == code
    Path("other.yaml").write_text(POLICY.format(control="sex", metric=metric, bound=bound))
    capsys.readouterr()
    assert execute(["gate", "--audit", "audit.json", "--policy", "other.yaml"]) == 3
    assert "was measured within department; the policy names sex" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--control-attribute", "dept"], "no control attribute 'dept'"),
        (["--control-attribute", "department", "--by", "sex"], "--by must not leave it out"),
        (["--control-attribute", "department", "--control-attribute", "sex"], "no attribute is left to compare"),
    ],
)
def test_names_that_cannot_be_are_refused(options: list[str], words: str, capsys) -> None:
    assert execute(["score", "--predictions", "two.csv", *options]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_the_option_measures_beside_any_policy() -> None:
    assert execute(["score", "--predictions", "two.csv", "--control-attribute", "sex", "--out", "audit.json"]) in (1, 3)
    tree = json.loads(Path("audit.json").read_text())
    assert sum(value["name"].startswith("CONDITIONAL_") for value in tree["metrics"]) == 5
    execute(["score", "--predictions", "two.csv", "--out", "plain.json"])
    plain = json.loads(Path("plain.json").read_text())
    assert "control_attributes" not in plain["record"]
    assert not any(value["name"].startswith("CONDITIONAL_") for value in plain["metrics"])


def test_a_rule_without_control_attributes_is_an_error_of_the_policy(capsys) -> None:
    Path("own.yaml").write_text(POLICY.format(control="x", metric="CONDITIONAL_EO", bound="max: 0.2").replace("[x]", "[]"))
    assert execute(["policy", "check", "own.yaml"]) == 2
    assert "CONDITIONAL_EO needs control_attributes" in " ".join(capsys.readouterr().err.split())
