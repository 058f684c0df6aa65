"""A purge against a real MLflow server: nothing of the purged version is left in any byte of its artifact store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support.judged_audits import policy_file
from support.purges import IDS, doomed_files, rows_with_outputs_of, served_store
from support.requests import CLAIMING
from support.servers import kill, mlflow_server

from grmu_audit.evaluation.predict import from_parquet
from grmu_audit.evidence import pseudonyms
from grmu_audit.tracking.names import PREDICTIONS
from grmu_audit.utils import sha256_file
from grmu_audit.workflows.purges.execution import _begin
from grmu_audit.workflows.purges.plan import plan_purge
from grmu_audit.workflows.session import Session

pytestmark = pytest.mark.slow


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Session, str]]:
    """A served request in a store behind a server, which alone reaches its artifacts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", policy_file(CLAIMING, tmp_path))
    with server(tmp_path) as url:
        yield served_store(tmp_path, url), url


def server(root: Path, port: int = 0) -> AbstractContextManager[str]:
    return mlflow_server(root / "server", f"sqlite:///{root}/server/mlflow.db", port=port)


def command(url: str, *arguments: str) -> tuple[int, str]:
    """The command line in a process of its own: exit code, and all that it says."""
    line = [sys.executable, "-m", "grmu_audit", "--actor", "anna", "--tracking-uri", url, *arguments]
    done = subprocess.run(line, check=False, capture_output=True, text=True, env=dict(os.environ))
    return done.returncode, done.stdout + done.stderr


def test_a_purge_through_a_server_leaves_no_byte(served: tuple[Session, str], tmp_path: Path) -> None:
    session, url = served
    store, doomed = session.store, doomed_files(session)
    assert len(doomed) == 8
    run = str(store.resolve("m/1").run_id)
    outputs = from_parquet(store.run_artifact(run, PREDICTIONS) or b"")
    weights = store.run_artifact(run, "model/state.safetensors") or b""
    place = tmp_path / "server" / "artifacts"
    assert any(weights[-64:] in path.read_bytes() for path in place.rglob("*") if path.is_file()), (
        "they are in the server's store"
    )
    purge = ["requests", "purge", "R-1", "--model", "m"]
    assert command(url, *purge, "--dry-run")[0] == 0
    assert any(weights[-64:] in path.read_bytes() for path in place.rglob("*") if path.is_file())
    code, said = command(url, *purge, "--yes", "--reason", "they asked")
    assert (code, "purged m/1: " in said) == (0, True), said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not {sha256_file(path) for path in files} & set(doomed.values())
    assert [path for path in files if weights[-64:] in path.read_bytes() or b"features of " in path.read_bytes()] == []
    kept = set(rows_with_outputs_of(session, outputs.logits, place))
    assert kept == set(outputs.ids[outputs.split == "test"].tolist())
    assert not kept & set(pseudonyms(session.key, IDS))
    code, said = command(url, "verify", "--model", "m")
    assert code == 0, said
    code, said = command(url, "history", "--model", "m")
    assert (code, "files of m/1 are deleted on purpose: they asked" in said) == (0, True), said
    code, said = command(url, *purge, "--yes")
    assert (code, "is left to purge here" in said) == (2, True), said
    code, said = command(url, "audit", "--model", "m/1")
    assert (code, "m/1 was purged (ledger entry" in said) == (3, True), said
    code, said = command(url, "requests", "purge", "--model", "m", "--resume")
    assert (code, "no purge of m is open" in said) == (0, True), said


def test_a_server_that_goes_away_leaves_a_purge_that_verify_names_and_resume_ends(
    served: tuple[Session, str], tmp_path: Path
) -> None:
    session, url = served
    doomed = doomed_files(session)
    _begin(session, plan_purge(session, "m", "R-1", None), "they asked")
    kill(url)
    resume = ["requests", "purge", "--model", "m", "--resume"]
    code, said = command(url, *resume)
    assert (code, "no MLflow server answers at" in said) == (4, True), said
    with server(tmp_path, int(url.rpartition(":")[2])):
        code, said = command(url, "verify", "--model", "m")
        assert (code, "grmu-audit requests purge --model m --resume" in said) == (6, True), said
        code, said = command(url, *resume)
        assert (code, "purged m/1: " in said) == (0, True), said
        assert command(url, "verify", "--model", "m")[0] == 0
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not {sha256_file(path) for path in files} & set(doomed.values())
