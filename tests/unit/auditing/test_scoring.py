"""Audits of prediction files alone, without a registry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.prediction_tables import table, written

from grmu_audit.auditing.audit_files import write_audit
from grmu_audit.auditing.scoring import PredictionFiles, score
from grmu_audit.errors import InputError
from grmu_audit.policy import load_named
from grmu_audit.records import ROOT, reference

GOLDEN = Path(__file__).parents[2] / "golden"


def test_score_fills_every_part_of_the_audit(full):
    audit, _ = full
    subjects = {str(m.subject) for m in audit.metrics}
    assert subjects == {
        "candidate", "baseline", "reference#1", "reference#2", "candidate-baseline", "candidate-reference#1",
        "candidate-reference#2", "candidate-reference",
    }  # fmt: skip
    assert audit.subject.label == "mine"
    assert sum(audit.data.splits.values()) == 400
    assert len(audit.data.groups) == 4
    assert sum(g.forget for g in audit.data.groups) == audit.forget.count == audit.data.splits["forget"]
    assert audit.record["yardstick"] == ["reference#1", "reference#2"]
    first, second, mean = (audit.metric("TA", reference(number).as_change()).value for number in (1, 2, 0))
    assert mean == pytest.approx((first + second) / 2)
    assert {"data quality", "robustness"} <= {m.name for m in audit.not_measured}
    assert len(audit.verdict.rules) == len(load_named("default").rules)


def test_avg_gap_and_tow_follow_their_definitions(full):
    audit, _ = full

    def near(name, i):
        return 1 - abs(audit.metric(name).value - audit.metric(name, reference(i)).value)

    wanted = np.mean([np.mean([near(name, i) for name in ("RA", "UA", "TA", "MIA_PAPER", "EO", "GA")]) for i in (1, 2)])
    assert audit.metric("AVG_GAP").value == pytest.approx(wanted, abs=1e-9)
    assert audit.metric("TOW").value == pytest.approx(
        np.mean([near("RA", i) * near("UA", i) * near("TA", i) for i in (1, 2)]), abs=1e-9
    )
    assert set(audit.metric("AVG_GAP").details["per_reference"]) == {"candidate-reference#1", "candidate-reference#2"}


def test_without_a_reference_closeness_is_undefined_with_a_reason():
    audit = score(GOLDEN / "group_without_positives.csv")
    for name in ("AVG_GAP", "TOW"):
        assert audit.metric(name).value is None
        assert audit.metric(name).why_missing == "no reference model was given"


def test_files_of_other_samples_are_refused(tmp_path):
    one, other = written(tmp_path, table(), "a.csv"), written(tmp_path, table(60), "b.csv")
    with pytest.raises(InputError, match="120 and 60 rows"):
        score(PredictionFiles(one, other))


def test_importing_and_using_the_light_path_loads_no_heavy_library(full, tmp_path):
    audit, _ = full
    write_audit(audit, tmp_path / "audit.json")
    code = (
        "import sys, json; import grmu_audit.auditing.scoring; first = sorted(sys.modules)\n"
        "from pathlib import Path; from grmu_audit.policy import load_named\n"
        "from grmu_audit.auditing.audit_files import read_audit; from grmu_audit.policy.judgement import judge\n"
        f"judge(read_audit(Path({str(tmp_path / 'audit.json')!r})), load_named('default'))\n"
        "print(json.dumps([first, sorted(sys.modules)]))"
    )
    root = Path(__file__).parents[3]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    imported, used = (set(names) for names in json.loads(result.stdout))
    assert (
        not {"torch", "torchvision", "mlflow", "great_expectations", "safetensors", "sklearn", "scipy", "pandas", "pydantic"}
        & imported
    )
    assert not {"torch", "torchvision", "mlflow", "great_expectations", "safetensors", "sklearn", "scipy", "pandas"} & used


def test_files_of_a_chain_name_its_root(full, tmp_path):
    audit, paths = full
    rules = [rule for rule in audit.verdict.rules if rule.compare == "root"]
    assert len(rules) == 3
    assert not any(rule.applied for rule in rules)
    chained = score(PredictionFiles(paths[0], paths[1], (), name="mine", root=paths[2]), load_named("default"))
    assert chained.root.label == paths[2].stem
    assert all(rule.applied and rule.observed is not None for rule in chained.verdict.rules if rule.compare == "root")
    assert chained.metric("TA", ROOT.as_change()).value == pytest.approx(
        chained.metric("TA").value - chained.metric("TA", ROOT).value
    )
