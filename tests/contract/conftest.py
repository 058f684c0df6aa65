"""The stores that must keep the same promises: in memory, embedded SQLite, and a real MLflow server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grmu_audit.tracking import MemoryStore, Store, open_store


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.25)
    raise AssertionError(f"the MLflow server did not start within a minute:\n{log.read_text()}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """URL of a running ``mlflow server``, and the folder that it keeps artifacts in."""
    root = tmp_path_factory.mktemp("server")
    url, port = "http://127.0.0.1:", _closed_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{root}/mlflow.db", "--artifacts-destination", str(root / "artifacts")]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")}
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=root, env={**kept, "MLFLOW_DISABLE_TELEMETRY": "true"}, start_new_session=True
        )
    try:
        _wait_for(f"{url}{port}", process, root / "log")
        yield f"{url}{port}", root / "artifacts"
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """A store, and the folder below which its artifacts lie."""
    root = tmp_path_factory.mktemp("store")
    if request.param == "memory":
        return MemoryStore(root), root
    if request.param == "mlflow-sqlite":
        return open_store(f"sqlite:///{root}/mlflow.db", root=root), root
    url, artifacts = request.getfixturevalue("server")
    return open_store(url), artifacts


@pytest.fixture(scope="module")
def store(opened: tuple[Store, Path]) -> Store:
    return opened[0]


@pytest.fixture(scope="module")
def stored(opened: tuple[Store, Path]) -> Callable[[str, str], Path]:
    """Where an artifact of a run lies on the disk, for hands that tamper."""

    def find(run_id: str, path: str) -> Path:
        run = next(folder for folder in opened[1].rglob(run_id) if folder.is_dir())
        inner = run / "artifacts"
        return (inner if inner.is_dir() else run) / path

    return find
