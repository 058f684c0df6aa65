"""Killed with signal 9 at random points of a purge: it is purged, or untouched and listed, and never in between unnoticed."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from support.purges import doomed_files, killed_purge, open_root, restore, served_store

from grmu_audit.evidence.purges import purge_state
from grmu_audit.tracking import read_ledger
from grmu_audit.utils import sha256_file
from grmu_audit.utils.files import CACHE_VARIABLE
from grmu_audit.workflows.purges.execution import resume_purge
from grmu_audit.workflows.purges.holders import PURGED, Holders
from grmu_audit.workflows.purges.selection import select
from grmu_audit.workflows.release import verify

KILLS = 30
pytestmark = pytest.mark.slow


def left_of(doomed: dict[str, str], root: Path) -> set[str]:
    """Which doomed files are somewhere in the store, whatever they are called."""
    there = {sha256_file(path) for path in (root / "mlruns").rglob("*") if path.is_file()}
    return {name for name, digest in doomed.items() if digest in there}


def test_thirty_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    session = served_store(tmp_path)
    doomed = doomed_files(session)
    assert len(doomed) == 8  # weights, graph, outputs, a table of an audit, four caches
    shutil.copytree(tmp_path / "mlruns", tmp_path / "snapshot")
    killed, events = killed_purge(tmp_path, None)
    assert not killed
    assert left_of(doomed, tmp_path) == set()
    deletions = [number for number, event in enumerate(events, 1) if event in ("os.remove", "os.rmdir", "shutil.rmtree")]
    rng = random.Random(3)
    chosen = rng.sample(deletions, 12) + rng.sample(range(1, len(events) + 1), KILLS - 12)
    ends: dict[str, int] = {}
    survived: list[list[str]] = []
    for fatal in chosen:
        restore(tmp_path / "snapshot", tmp_path)
        killed, seen = killed_purge(tmp_path, fatal)
        survived += [] if killed else [seen]
        session = open_root(tmp_path)
        left, state = left_of(doomed, tmp_path), purge_state(read_ledger(session.store, "m"))
        findings = verify(session, "m")
        end = "purged" if state.done else "open" if state.open else "untouched"
        ends[end] = ends.get(end, 0) + killed
        assert left == set() or end != "purged"
        assert left == set(doomed) or end != "untouched"
        assert [finding.check for finding in findings] == (["purge"] if end == "open" else [])
        if end == "untouched":
            listed = Holders(session, select(session, "m", "R-1", None)).listed()
            assert {one.name for one in listed if one.action == PURGED} >= {"m/1", "audit of m/2"}
        if end == "open":
            assert resume_purge(session, "m") is not None
            assert left_of(doomed, tmp_path) == set()
            assert verify(open_root(tmp_path), "m") == []
    assert sum(ends.values()) >= KILLS - 2, (ends, events, survived)
    assert ends["open"] > 10
    print(ends)
