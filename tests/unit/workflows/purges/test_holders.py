"""What a purge lists beside the versions themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.judged_audits import DATA, version
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.evidence import KEY_FILE_VARIABLE
from grmu_audit.jobs import JobOptions
from grmu_audit.workflows.purges.holders import BLOCKS, OPEN, Holder, Holders
from grmu_audit.workflows.purges.selection import Selection
from grmu_audit.workflows.session import Session


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """``m/1`` of some data."""
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    key = tmp_path / "key"
    key.write_text("00" * 32)
    key.chmod(0o600)
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(key))
    store = MemoryStore(tmp_path / "store")
    version(store, "m", tmp_path / "m", role="pretrain", data_digest=DATA)
    return open_session(store, tmp_path / "root")


def listed(session: Session, kind: str) -> list[Holder]:
    return [one for one in Holders(session, Selection("m", frozenset("a"))).listed() if one.kind == kind]


def named(found: list[Holder]) -> list[tuple[str, str, str, str]]:
    return [(one.name, one.holds, one.action, one.why) for one in found]


def test_versions_of_other_models_that_may_hold_the_rows(session: Session, tmp_path: Path) -> None:
    store = session.store
    assert isinstance(store, MemoryStore)
    version(store, "same-data", tmp_path / "1", data_digest=DATA)
    version(store, "without-a-request", tmp_path / "2", data_digest=DATA, forget_digest="hmac-sha256:00")
    version(store, "other-data", tmp_path / "3", data_digest="e" * 64)
    store._models["same-files"] = dict(store._models["m"])
    others = [one for one in named(listed(session, "version")) if not one[0].startswith("m/")]
    assert others == [
        ("same-files/1", "the same files", BLOCKS, "delete this version in the registry first"),
        ("same-data/1", "weights, trained on the same data", OPEN, "purge same-data too"),
    ]


@pytest.mark.parametrize(("kind", "shown"), [("unlearn", True), ("evaluate", False), ("audit", False)])
def test_a_run_that_may_still_write_weights_is_open(session: Session, kind: str, shown: bool) -> None:
    with session.store.run("m", kind) as run:
        found = named(listed(session, "run"))
        wanted = (f"{kind} {run.id[:8]}", "may write weights", OPEN, "it is running: purge again after")
        assert found == ([wanted] if shown else [])
    assert listed(session, "run") == []


@pytest.mark.parametrize(("folder", "shown"), [("s3://bucket/jobs", True), ("jobs", False), (None, False)])
def test_a_folder_of_jobs_elsewhere_is_named_and_not_deleted(session: Session, folder: str | None, shown: bool) -> None:
    found = named(listed(replace_jobs(session, folder), "elsewhere"))
    wanted = (str(folder), "rows, networks and results of jobs", OPEN, "delete what is in it")
    assert (wanted in found) is shown


def replace_jobs(session: Session, folder: str | None) -> Session:
    made = replace(session, jobs=JobOptions("local", folder=folder))
    made.store = session.store  # type: ignore[misc]
    return made
