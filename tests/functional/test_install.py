"""The installed wheel, away from the checkout; how light and quick the light parts are; the documents that run."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import grmu_audit

ROOT = Path(grmu_audit.__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
HEAVY = ("torch", "torchvision", "mlflow", "great_expectations")


def python(*arguments: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path or ROOT), "COLUMNS": "100"}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    built = python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT), cwd=out)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(out.glob("*.whl"))


def test_wheel_works_from_another_directory(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert any(n.endswith("_resources/policies/default.yaml") for n in names)
    assert any("_resources/templates/" in n for n in names)
    assert not [n for n in names if n.startswith(("tests/", "mlruns/"))]
    where = python("-c", "import grmu_audit; print(grmu_audit.__file__)", cwd=tmp_path, path=site)
    assert where.stdout.startswith(str(site))
    report = tmp_path / "out" / "report.html"
    report.parent.mkdir()
    line = ["-m", "grmu_audit", "score", "--predictions", str(GOLDEN / "binary.csv"), "--report", str(report), "--json"]
    done = python(*line, cwd=tmp_path, path=site)
    assert done.returncode in (1, 3), done.stderr
    assert json.loads(done.stdout)["schema"] == "grmu-audit/audit/v2"
    assert report.read_text().startswith("<!DOCTYPE html>")


def test_wheel_and_source_archive_are_the_same_bytes_twice(wheel: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        line = ["-m", "build", "--no-isolation", "--outdir", str(tmp_path / str(number)), str(ROOT)]
        built = python(*line, cwd=tmp_path)
        assert built.returncode == 0, built.stdout + built.stderr
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / number).iterdir()} for number in ("1", "2"))
    assert one == two
    assert {name.rsplit(".", 1)[1] for name in one} == {"whl", "gz"}
    assert one[wheel.name] == wheel.read_bytes()


def test_the_container_file_is_clean() -> None:
    tool = Path(sys.executable).with_name("hadolint")
    if not tool.exists():
        pytest.skip("hadolint has no build for this machine")
    done = subprocess.run([str(tool), str(ROOT / "Containerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_judgement_core_loads_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, grmu_audit.auditing.scoring; print([m for m in {HEAVY} if m in sys.modules])"
    assert python("-c", code, cwd=tmp_path).stdout.strip() == "[]"


def test_gate_on_a_file_loads_nothing_heavy(tmp_path: Path) -> None:
    audit = tmp_path / "audit.json"
    line = ["score", "--predictions", str(GOLDEN / "binary.csv"), "--out", str(audit)]
    code = (
        "import sys\nfrom grmu_audit.cli.app import execute\n"
        f"first = execute({line!r}); second = execute(['gate', '--audit', {str(audit)!r}])\n"
        f"print(first, second, [m for m in {HEAVY} if m in sys.modules])"
    )
    last = python("-c", code, cwd=tmp_path).stdout.splitlines()[-1]
    assert re.fullmatch(r"(\d) \1 \[\]", last), last


@pytest.mark.parametrize("command", ["", "unlearn", "audit", "gate", "score", "demo"])
def test_help_imports_no_heavy_library(command: str, tmp_path: Path) -> None:
    heavy = "('torch', 'mlflow', 'great_expectations', 'numpy', 'pandas', 'pydantic', 'jinja2')"
    line = [command, "--help"] if command else ["--help"]
    code = (
        f"import sys\nfrom grmu_audit.cli.app import execute\nexecute({line!r})\nprint([m for m in {heavy} if m in sys.modules])"
    )
    assert python("-c", code, cwd=tmp_path).stdout.splitlines()[-1] == "[]"


def modules() -> list[str]:
    return [m.name for m in pkgutil.walk_packages(grmu_audit.__path__, "grmu_audit.") if "__main__" not in m.name]


def test_examples_in_docstrings_run() -> None:
    results = [doctest.testmod(importlib.import_module(name)) for name in modules()]
    assert sum(r.failed for r in results) == 0
    assert sum(r.attempted for r in results) > 40


def readme_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def test_readme_commands_and_options_exist(tmp_path: Path) -> None:
    import click

    from grmu_audit.cli.app import COMMANDS, root

    lines = [
        line for block in readme_blocks("console") for line in re.findall(r"^\$ grmu-audit (.*)$", block, flags=re.MULTILINE)
    ]
    assert len(lines) >= 8
    for line in lines:
        words = line.split("#")[0].split()
        assert words[0] in COMMANDS, line
        context = click.Context(root)
        command = root.get_command(context, words[0])
        while isinstance(command, click.Group):
            words = words[1:]
            command = command.get_command(context, words[0])
        assert command is not None, line
        known = {name for p in command.params for name in [*p.opts, *p.secondary_opts]}
        assert {w.partition("=")[0] for w in words if w.startswith("--")} <= known, line


def test_readme_score_example_runs(tmp_path: Path) -> None:
    code = next(block for block in readme_blocks("python") if "score(" in block)
    (tmp_path / "predictions.csv").write_bytes((GOLDEN / "binary.csv").read_bytes())
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "BREACH" in done.stdout or "INCONCLUSIVE" in done.stdout


def test_constraints_name_no_host_and_no_path() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "torch==" in text
    assert "torchvision==" in text
    assert not re.search(r"https?:|file:| @ |--", text)


def test_two_pretrainings_of_one_seed_predict_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    import pandas as pd

    tables = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "key"))
        done = python(
            "-m",
            "grmu_audit",
            "--quiet",
            "pretrain",
            "--name",
            "m",
            "--set",
            "epochs=2",
            "--data-option",
            "renders=1",
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        tables.append(pd.read_parquet(next(folder.rglob("predictions.parquet"))))
    assert np.array_equal(tables[0].to_numpy(), tables[1].to_numpy())
