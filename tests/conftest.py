"""Shared by all tests: no key, store or environment of the person who runs them is ever touched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from grmu_audit.tracking.mlflow.environment import DEFAULTS, FORCED

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling

settings.register_profile("grmu", deadline=None)  # a busy machine is no failure
settings.load_profile("grmu")

OURS = ("GRMU_AUDIT_", "MLFLOW_", "_MLFLOW_")

for name in [n for n in os.environ if n.startswith(OURS) and n != "GRMU_AUDIT_REQUIRE_SYSTEM"]:
    del os.environ[name]
os.environ.update(DEFAULTS | FORCED)  # what the first test that opens a store would leave behind
os.environ["COLUMNS"] = "250"  # so that tests find whole sentences in tables; those on widths set their own


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Files of ``functional/demo`` go to one process, so that the demo runs once; all others as ``--dist loadfile`` does."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        """Distributes by file, and by folder where the files share the demo."""

        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "demo" if "/functional/demo/" in f"/{file}" else file

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(autouse=True, scope="session")
def _own_places(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither the person's cache nor the person's key is touched, in fixtures of any scope."""
    os.environ["GRMU_AUDIT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["GRMU_AUDIT_HMAC_KEY_FILE"] = str(tmp_path_factory.mktemp("key") / "hmac.key")


@pytest.fixture(autouse=True)
def _no_trace_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that leaves a setting behind fails itself, rather than the tests that happen to follow it."""
    before = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    yield
    monkeypatch.undo()
    after = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    for name in after.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    assert after == before, "this test changed the environment for those that follow"
