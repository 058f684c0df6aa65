"""Golden prediction files with values from an independent computation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from statsmodels.stats.proportion import proportion_confint

from grmu_audit.auditing.audit_files import read_audit, write_audit
from grmu_audit.auditing.prediction_files import read_predictions
from grmu_audit.auditing.scoring import score
from grmu_audit.policy import load
from grmu_audit.records import Decision, Group

GOLDEN = Path(__file__).parents[2] / "golden"
CASES = ("binary", "multiclass", "group_without_positives")


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest):
    audit = score(GOLDEN / f"{request.param}.csv", policy=load(GOLDEN / "policy.yaml"))
    return request.param, audit, json.loads((GOLDEN / f"{request.param}.json").read_text())


def test_values_intervals_and_denominators(case):
    _, audit, expected = case
    assert len(expected["metrics"]) >= 9
    for name, wanted in expected["metrics"].items():
        value = audit.metric(name)
        assert value is not None
        assert value.value == pytest.approx(wanted["value"], abs=1e-3 if name == "MIA_PAPER" else 1e-6)
        if "interval" in wanted:
            assert value.statistic.by_method("wilson").interval(0.95) == pytest.approx(wanted["interval"], abs=1e-6)
            exact = proportion_confint(round(value.value * value.n), value.n, 0.05, "beta")
            assert value.interval == pytest.approx(exact, abs=1e-9)
            assert value.n == wanted["n"]


def test_empty_cells_are_named_and_no_rule_on_gaps_passes(case):
    name, audit, expected = case
    empty = {Group(*cell) for cell in expected["empty_cells"]}
    for metric in ("EO", "EP", "DP", "WG"):
        assert set(audit.metric(metric).empty_cells) == empty
        assert audit.metric(metric).incomplete == bool(empty)
    wanted = Decision.INCONCLUSIVE if name == "group_without_positives" else Decision.PASS
    assert {r.id: r.decision for r in audit.verdict.rules} == {"eo": wanted, "ep": wanted, "ga": Decision.PASS}
    assert audit.verdict.decision is wanted


def test_an_audit_file_reads_back_and_holds_no_sample_id(case, tmp_path):
    name, audit, _ = case
    digest = write_audit(audit, tmp_path / "audit.json")
    text = (tmp_path / "audit.json").read_text()
    assert read_audit(tmp_path / "audit.json") == audit
    assert len(digest) == 64
    assert not any(f'"{sample}"' in text or sample in text for sample in read_predictions(GOLDEN / f"{name}.csv").ids[:200])


def test_the_same_file_as_parquet_gives_the_same_metrics(tmp_path):
    import pandas as pd

    pd.read_csv(GOLDEN / "binary.csv", dtype={"id": str}).to_parquet(tmp_path / "binary.parquet")
    assert score(tmp_path / "binary.parquet").metrics == score(GOLDEN / "binary.csv").metrics
