"""Shared by all tests: no key, store or environment of the person who runs them is ever touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("grmu", deadline=None)  # a busy machine is no failure
settings.load_profile("grmu")

for name in [n for n in os.environ if n.startswith(("GRMU_AUDIT_", "MLFLOW_")) and n != "GRMU_AUDIT_REQUIRE_SYSTEM"]:
    del os.environ[name]


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the tests decode and tokenise goes nowhere near the person's cache."""
    os.environ["GRMU_AUDIT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _own_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pseudonyms of the tests are made with a key of the tests."""
    folder = Path(tmp_path_factory.getbasetemp()) / "key"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(folder / "hmac.key"))
