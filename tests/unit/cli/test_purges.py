"""What a purge lists, and what it asks before it deletes."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from support.requests import purgeable_session

from grmu_audit.cli.app import execute
from grmu_audit.cli.commands import purges as commands
from grmu_audit.tracking import Actor, promote
from grmu_audit.workflows.session import Session

PURGE = ["requests", "purge", "R-1", "--model", "m", "--reason", "they asked"]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """``m/1`` with all rows, and the champion ``m/2`` without two of request R-1."""
    made = purgeable_session(tmp_path, monkeypatch, ("a", "b"))
    promote(made.store, "m/2", Actor("anna"))
    monkeypatch.setattr(commands, "open_session", lambda ctx, jobs=None: made)
    return made


def typed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person types at a terminal."""
    stream = io.StringIO(text)
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stream)


def left(session: Session) -> int:
    return len(session.store.run_files(str(session.store.resolve("m/1").run_id)))


def test_the_impact_of_a_request_is_one_line_for_each_holder(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["requests", "impact", "R-1", "--model", "m"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("purged  version m/1, weights and outputs, trained on the rows (")
    assert {line.split()[0] for line in lines} <= {"purged", "kept", "open"}


def test_only_the_name_of_the_model_or_an_option_deletes(
    session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = left(session)
    monkeypatch.setattr(sys, "stdin", io.StringIO("m\n"))
    assert execute(PURGE) == 2
    assert "nothing was deleted: this cannot be undone; --yes deletes what is listed above" in capsys.readouterr().err
    typed("n\n", monkeypatch)
    assert execute(PURGE) == 2
    assert "nothing was deleted: 'n' is not 'm'" in capsys.readouterr().err
    assert left(session) == before
    typed(" m \n", monkeypatch)
    assert execute(PURGE) == 0
    assert "purged m/1: " in capsys.readouterr().out
    assert left(session) == 0


def test_a_trial_names_missing_sign_offs_and_deletes_nothing(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    before = left(session)
    assert execute([*PURGE, "--require-sign-off", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "was not signed off by a preparer" in " ".join(said.err.split()).partition("missing: ")[2]
    assert said.out.splitlines()[-1] == "dry run: nothing was deleted"
    assert execute([*PURGE, "--require-sign-off", "--yes"]) == 3
    assert "was not signed off by a preparer" in " ".join(capsys.readouterr().err.split())
    assert left(session) == before
