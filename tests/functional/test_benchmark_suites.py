"""The papers' suites on small trees in the published layouts, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.benchmarks import SMALL, published_trees, tiny_suite
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.cli.app import execute
from grmu_audit.workflows.benchmarks import BenchmarkOptions, Suite, load_suite, run_benchmark, suite_names
from grmu_audit.workflows.benchmarks.estimate import estimate
from grmu_audit.workflows.benchmarks.output import write_output
from grmu_audit.workflows.benchmarks.suite import SuiteNetwork, adapted, varied

PAPERS = [name for name in suite_names() if name.startswith("paper-")]
VARIANTS = [(name, variant) for name in PAPERS for variant in ("", *load_suite(name).variants) if variant != "cifar100"]
LIGHT = {
    "multinli": SuiteNetwork(architecture="bert", start="file", options={"hidden": 8, "layers": 1, "heads": 2, "intermediate": 8})
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    published_trees(root)
    return root


def chosen(name: str, variant: str) -> Suite:
    suite = load_suite(name)
    return adapted(varied(suite, variant) if variant else suite, "0")


def options(suite: Suite, root: Path, out: Path) -> BenchmarkOptions:
    """One epoch, small inputs, sampled start weights in place of ImageNet's."""
    return BenchmarkOptions(out, root, dict(SMALL.get(suite.data.name, {})), {"epochs": 1, "batch_size": 16}, "random")


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_suite_is_planned_from_the_labels_alone(name: str, variant: str, trees: Path, tmp_path: Path) -> None:
    suite = chosen(name, variant)
    found = estimate(open_session(MemoryStore(tmp_path / "store"), tmp_path), suite, options(suite, trees, tmp_path), 0.0)
    cells = sum(len(request.ratios) for request in suite.requests)
    assert found.rows >= 2 * cells
    assert found.cost.gradients > 0
    assert not found.existing_models


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPERS)
def test_every_suite_runs_with_one_epoch(name: str, trees: Path, tmp_path: Path) -> None:
    whole = chosen(name, "")
    network = LIGHT.get(whole.data.name, SuiteNetwork(options={"widths": [4]}))
    suite = whole.model_copy(update={"network": network, "references": 1})
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    found = run_benchmark(session, suite, options(suite, trees, tmp_path / "out"))
    planned = estimate(session, suite, options(suite, trees, tmp_path / "out"), 0.0)
    assert (found.trained, found.measured) == (planned.models, planned.rows)
    assert (planned.existing_models, planned.existing_rows) == (planned.models, planned.rows)
    report, page, results = write_output(suite, found.rows, tmp_path / "out")
    assert "untouched" in report.read_text()
    assert len(results.read_text().splitlines()) == 1 + len(found.rows)
    assert page.stat().st_size > 5_000
    if suite.published:
        assert "of the paper" in report.read_text()
    again = run_benchmark(session, suite, options(suite, trees, tmp_path / "out"))
    assert (again.trained, again.measured, again.sample_gradients) == (0, 0, 0)


@pytest.mark.slow
def test_the_command_from_plan_to_leaderboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(json.dumps(tiny_suite().model_dump(by_alias=True, exclude_none=True)))
    assert execute(["benchmark", "plan", "tiny.yaml", "--no-calibration"]) == 0
    assert "7 models and 6 rows; 0 models and 0 rows exist" in capsys.readouterr().out
    assert execute(["benchmark", "tiny.yaml"]) == 0
    assert "7 rows; created now: 7 models" in capsys.readouterr().out
    assert execute(["benchmark", "tiny.yaml"]) == 0
    assert "created now: 0 models, 0 sample-gradients; measured now: 0" in capsys.readouterr().out
    assert execute(["benchmark", "tiny.yaml", "--method", "gradient_ascent", "--jobs", "2"]) == 0
    assert "created now: 1 models" in capsys.readouterr().out
    assert execute(["benchmark", "leaderboard", "benchmark-tiny"]) == 0
    assert "gradient_ascent" in Path("leaderboard.html").read_text()
    runs = _runs()
    assert len(runs) == len(set(runs)) == 8


def _runs() -> list[str]:
    """Row ids of the runs that a real MLflow holds."""
    from mlflow import MlflowClient

    client = MlflowClient("sqlite:///mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("grmu-audit/benchmark-tiny")
    assert experiment is not None
    return [run.data.tags["grmu.benchmark_row"] for run in client.search_runs([experiment.experiment_id])]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["benchmark", "photodigit"], 2, "did you mean"),
        (["benchmark", "missing.yaml"], 2, "cannot be read"),
        (["benchmark", "plan", "smoke", "--seeds", "x"], 2, "whole numbers"),
        (["benchmark", "plan", "smoke", "--method", "nothing"], 2, "no method"),
        (["benchmark", "plan", "paper-lambda", "--variant", "mars"], 2, "no variant"),
        (["benchmark", "plan", "paper-multinli", "--data-root", "."], 2, "--weights"),
        (["benchmark", "leaderboard", "."], 2, "no rows"),
        (["benchmark", "plan", "smoke", "--no-calibration", "--set", "epochz=1"], 2, "epochz"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute(arguments) == code
    assert words in capsys.readouterr().err.replace("\n", " ")
    assert not list(tmp_path.iterdir())
