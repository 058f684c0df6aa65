"""Comparisons on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.audits import judged
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.cli.app import execute
from grmu_audit.cli.commands import audit as commands
from grmu_audit.errors import IntegrityError
from grmu_audit.records import Decision
from grmu_audit.workflows.audits import comparison
from grmu_audit.workflows.audits.comparison import Comparison

BOTH = [judged(Decision.PASS), judged(Decision.BREACH)]


@pytest.mark.parametrize("damaged", [False, True])
def test_all_versions_are_shown_before_damage_exits_with_6(
    damaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts = [BOTH[0], IntegrityError("audit.json was changed") if damaged else None]
    monkeypatch.setattr(comparison, "compare", lambda *given, **more: Comparison(BOTH, verdicts))  # needs trained networks
    monkeypatch.setattr(commands, "open_session", lambda ctx: open_session(MemoryStore(tmp_path / "store"), tmp_path))
    page = tmp_path / "out" / "compare.html"
    assert execute(["compare", "m/1", "m/2", "--out", str(page)]) == (6 if damaged else 0)
    said = capsys.readouterr()
    assert BOTH[0].subject.label in said.out
    assert f"comparison: {page}" in said.err
    assert page.read_text().startswith("<!")
    assert (f"evidence damaged: {BOTH[1].subject.label}: audit.json was changed" in said.err) is damaged
    assert execute(["compare", "m/1", "m/2"]) == (6 if damaged else 0)
    assert "comparison: " not in capsys.readouterr().err
