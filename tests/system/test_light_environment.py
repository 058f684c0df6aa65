"""The gate and the check of a bundle run where torch, MLflow and Great Expectations are not installed."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from support.judged_audits import audited, key_pair, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.auditing import audit_files
from grmu_audit.workflows.audits.stored import export_bundle

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "torchvision", "mlflow", "great_expectations", "safetensors", "fsspec", "tqdm", "sqlalchemy")


def _requirements(found: Distribution) -> list[str]:
    """Names of what a distribution needs without extras, on this machine."""
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in found.requires or ()]
    return [r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]


def _closure(names: list[str]) -> dict[str, Distribution]:
    seen: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in seen:
            seen[name] = distribution(name)
            waiting += _requirements(seen[name])
    return seen


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the package declares without extras, and what that needs, and nothing else."""
    folder = tmp_path_factory.mktemp("light-site")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split(r"[\[<>=!~; ]", line)[0] for line in declared]
    for found in _closure(names).values():
        tops = {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            source, link = Path(str(found.locate_file(top))), folder / top
            if source.exists() and not link.exists():
                link.symlink_to(source)
    (folder / "grmu_audit").symlink_to(ROOT / "grmu_audit")
    (folder / "policies").symlink_to(ROOT / "policies")
    (folder / "templates").symlink_to(ROOT / "templates")
    return folder


def light(site: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command line in an interpreter that sees only that folder and the standard library."""
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from grmu_audit.cli import main; main()"
    command = [sys.executable, "-S", "-I", "-c", code, str(site), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, env={"HOME": str(folder)})


def test_the_environment_holds_nothing_heavy(site: Path, tmp_path: Path) -> None:
    code = f"import sys, importlib.util as u; sys.path.insert(0, {str(site)!r}); print([n for n in {HEAVY!r} if u.find_spec(n)])"
    done = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_gate_judges_there(site: Path, tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    ref = version(store, "faces", tmp_path / "v")
    audit = audited(store, ref, [predictions(100)], policy())
    audit_files.write_audit(audit, tmp_path / "audit.json")
    for bound, code in ((0.3, 0), (0.9999, 1)):
        text = json.dumps(policy(bound).model_dump(mode="json", by_alias=True))
        (tmp_path / "policy.yaml").write_text(text)
        formats = [f"--format={kind}=out.{kind}" for kind in ("junit", "sarif", "github", "markdown", "json", "html")]
        done = light(site, "gate", "--audit", "audit.json", "--policy", "./policy.yaml", *formats, folder=tmp_path)
        assert done.returncode == code, done.stderr
        assert (tmp_path / "out.sarif").stat().st_size > 500


def test_a_bundle_is_checked_there(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(tmp_path / "store")
    ref = version(store, "faces", tmp_path / "v")
    private, public = key_pair(tmp_path)
    audited(store, ref, [predictions(100), predictions(101)], policy(), private)
    monkeypatch.setenv("GRMU_AUDIT_SIGNING_KEY", str(private))
    export_bundle(store, ref.label, tmp_path / "b.zip")
    done = light(site, "evidence", "verify", "b.zip", "--public-key", str(public), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "everything agrees" in done.stdout
    content = bytearray((tmp_path / "b.zip").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "b.zip").write_bytes(bytes(content))
    done = light(site, "evidence", "verify", "b.zip", folder=tmp_path)
    assert done.returncode == 6
    assert "does NOT agree" in done.stdout


def test_the_first_look_works_there(site: Path, tmp_path: Path) -> None:
    done = light(site, "score", "--demo", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("✔ PASS")
    assert "grmu-demo.html" in done.stderr
    assert (tmp_path / "grmu-demo.html").read_text().startswith("<!DOCTYPE html>")
    for wrong in (["score"], ["score", "--demo", "--predictions", "x.csv"], ["score", "--demo", "--baseline", "x.csv"]):
        assert light(site, *wrong, folder=tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("line", "extra"),
    [
        (["history", "--model", "faces"], "registry"),
        (["gate", "--model", "faces"], "registry"),
        (["unlearn", "--model", "faces", "--forget", "ids.csv"], "all"),
        (["data", "describe", "photodigits"], None),
        (["methods"], None),
        (["metrics"], None),
        (["policy", "show"], None),
        (["pretrain", "--name", "faces"], "all"),
        (["benchmark", "smoke"], "all"),
        (["demo"], "all"),
    ],
)
def test_a_command_that_needs_more_says_what_to_install(line: list[str], extra: str | None, site: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("id\nx\n")
    (tmp_path / "mlruns").mkdir()
    with closing(sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")) as store:
        store.execute("CREATE TABLE registered_models (name TEXT)")
    done = light(site, *line, folder=tmp_path)
    if extra is None:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"pip install 'grmu-audit[{extra}]'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_every_extra_that_a_message_names_is_declared() -> None:
    from grmu_audit.cli.app import REGISTRY, TRAINING

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["all"] == ["grmu-audit[registry,train]"]
    for extra, modules in (("registry", REGISTRY), ("train", TRAINING)):
        for module in set(modules) - {"sqlalchemy"}:  # which comes with MLflow
            assert any(line.startswith(module.replace("_", "-")) for line in extras[extra]), module
