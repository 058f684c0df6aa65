"""Commands that create versions: what they print, and what a process that torchrun started does not do itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.judged_audits import version
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.cli.app import execute
from grmu_audit.cli.commands import versions as commands
from grmu_audit.workflows.versions import followers


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The store that the commands use."""
    made = MemoryStore(tmp_path / "store")
    session = open_session(made, tmp_path)
    monkeypatch.setattr(commands, "open_session", lambda ctx, jobs=None: session)
    return made


def test_versions_that_have_their_record_are_not_bound_again(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version(store, "m", tmp_path / "v1")
    assert execute(["register", "--bind", "--name", "m"]) == 0
    said = capsys.readouterr()
    assert said.out == "every version of m has its record already\n"
    assert said.err == ""


@pytest.mark.parametrize(
    "line",
    [
        ["pretrain", "--name", "m"],
        ["retrain", "--model", "m/1", "--forget", "ids.csv"],
        ["unlearn", "--model", "m/1", "--forget", "ids.csv"],
    ],
)
def test_a_process_that_followed_the_first_one_registers_and_prints_nothing(
    store: MemoryStore, line: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(followers, "followed", lambda session: True)  # what torchrun makes of a process with a rank above 0
    assert execute(line) == 0
    assert store.models() == []
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
