"""Real databases for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import database, postgres


@pytest.fixture(scope="session")
def postgres_base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running PostgreSQL, started for this session."""
    with postgres(tmp_path_factory.mktemp("postgres")) as base:
        yield base


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """URI of an empty database, and a folder for artifacts."""
    root: Path = tmp_path_factory.mktemp(request.param)
    if request.param == "sqlite":
        return f"sqlite:///{root}/mlflow.db", root
    return database(request.getfixturevalue("postgres_base"), f"race_{root.name.replace('-', '_')}"), root
