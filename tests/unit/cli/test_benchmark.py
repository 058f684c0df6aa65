"""The plan of a benchmark, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from support.benchmarks import tiny_suite

from grmu_audit.cli.app import execute
from grmu_audit.workflows.benchmarks import estimate
from grmu_audit.workflows.benchmarks.estimate import Estimate


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    suite = tiny_suite().model_dump(mode="json", by_alias=True, exclude_none=True)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(suite))
    return tmp_path


def test_a_plan_without_a_calibration_has_no_hours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--device", "cpu", "benchmark", "plan", "tiny.yaml", "--no-calibration", "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert (tree["models"], tree["rows"], tree["existing_models"], tree["existing_rows"], tree["hours"]) == (7, 6, 0, 0, None)
    assert tree["sample_gradients"] > 0
    assert execute(["--device", "cpu", "benchmark", "plan", "tiny.yaml", "--no-calibration"]) == 0
    said = capsys.readouterr().out
    assert "7 models and 6 rows; 0 models and 0 rows exist" in said
    assert f"left to do: {tree['sample_gradients']:,} sample-gradients and {tree['forwards']:,} forward passes" in said
    assert "hours on this machine" not in said
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.yaml"], "a plan writes nothing"


def test_hours_are_those_of_a_short_calibration(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found: list[Estimate] = []
    real = estimate.estimate

    def shorter(session: object, suite: object, options: object, calibration: float) -> Estimate:
        """With a hundredth of the time."""
        found.append(real(session, suite, options, calibration / 100))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(estimate, "estimate", shorter)
    assert execute(["--device", "cpu", "benchmark", "plan", "tiny.yaml"]) == 0
    hours, rates = found[0].hours, found[0].rates
    assert hours is not None
    assert rates is not None
    assert hours > 0
    speed = f"{rates.gradients:,.0f} gradients and {rates.forwards:,.0f} forward passes a second"
    said = " ".join(capsys.readouterr().out.split())
    assert f"about {hours:.2f} processor hours on this machine ({speed}, measured now on random inputs)" in said
