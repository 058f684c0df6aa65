"""Real demographic data by command line only: a table of people, half of one group forgotten, judged by the default policy."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.measurements.adult import adult
from grmu_audit.cli.app import execute
from grmu_audit.errors import ExitCode

PEOPLE = 8_000


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the package that ships the table is made for Python up to 3.12")
def test_adult_table_with_an_mlp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    adult(tmp_path / "adult.csv", PEOPLE)

    def run(*line: str) -> str:
        capsys.readouterr()
        assert execute(["--quiet", *line]) == ExitCode.DONE, capsys.readouterr().err
        return capsys.readouterr().out

    run("data", "import", "--table", "adult.csv", "--target", "salary", "--attribute", "sex", "--out", "adult.yaml")
    described = run("data", "describe", "adult.yaml")
    assert "target: salary (<=50K, >50K); positive: >50K" in described
    assert f"samples: train {PEOPLE * 7 // 10}, val {PEOPLE // 10}, test {PEOPLE // 5}" in described
    settings = ["--set", "epochs=3", "--set", "batch_size=128", "--set", "learning_rate=0.02"]
    assert run("pretrain", "--name", "income", "--data", "adult.yaml", "--architecture", "mlp", *settings).strip() == "income/1"
    run("forget", "sample", "--model", "income", "--group", ">50K / Female", "--ratio", "0.5")
    assert run("retrain", "--model", "income", "--forget", "ids.csv", "--reweight").strip() == "income/2"
    method = ["--method", "miu", "--set", "epochs=1", "--set", "batch_size=128"]
    assert run("unlearn", "--model", "income", "--forget", "ids.csv", *method).strip() == "income/3"
    audit = json.loads(run("audit", "--model", "income/3", "--policy", "default", "--json", "--out", "report"))
    groups = {row["name"]: row for row in audit["data"]["groups"]}
    assert set(groups) == {"<=50K / Female", "<=50K / Male", ">50K / Female", ">50K / Male"}
    assert groups[">50K / Female"]["forget"] == (groups[">50K / Female"]["train"] + 1) // 2
    assert {name for name, row in groups.items() if row["forget"]} == {">50K / Female"}
    assert audit["verdict"]["decision"] in {"PASS", "BREACH", "INCONCLUSIVE"}
    before = next(m for m in audit["metrics"] if (m["name"], m["subject"], m["group"]) == ("TA", "baseline", None))
    assert before["value"] > 0.8  # 75 % of the people earn up to 50K
    page = (tmp_path / "report" / "report.html").read_text()
    assert all(name in page for name in ("&gt;50K / Female", "&lt;=50K / Male"))
    assert "person-0" not in page
