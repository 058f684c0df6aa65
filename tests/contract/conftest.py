"""The stores that must behave alike: in memory, embedded SQLite, and a real MLflow server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.memory_store import MemoryStore
from support.servers import mlflow_server

from grmu_audit.tracking import Store, open_store


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """URL of a running ``mlflow server``, and the folder of its artifacts."""
    root = tmp_path_factory.mktemp("server")
    with mlflow_server(root, f"sqlite:///{root}/mlflow.db") as url:
        yield url, root / "artifacts"


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
