"""What the commands of a release print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.earlier_stores import before_records
from support.judged_audits import audited, policy, predictions, version
from support.memory_store import MemoryStore
from support.requests import version_without
from support.sessions import open_session

from grmu_audit.cli.app import execute
from grmu_audit.cli.commands import release as commands
from grmu_audit.cli.commands.release import _moved
from grmu_audit.records import ModelRef
from grmu_audit.tracking import Actor, promote, read_ledger, rollback
from grmu_audit.tracking.promotion import Promotion


def test_a_promotion_names_its_ledger_entry_and_one_that_moved_nothing_names_none() -> None:
    ref = ModelRef("digits", "2")
    assert _moved(Promotion(ref, "1", 7, changed=True)) == "digits/2 is champion of digits (ledger entry 7, before: 1)"
    said = _moved(Promotion(ref, "2", 0, changed=False))
    assert said == "digits/2 is the champion of digits already: nothing was moved, and the ledger has no new entry"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The store that every command of a release uses."""
    (tmp_path / "store").mkdir()
    made = MemoryStore(tmp_path / "store")
    session = open_session(made, tmp_path)
    monkeypatch.setattr(commands, "open_session", lambda ctx: session)
    return made


def test_history_names_reversals_and_requests_that_were_opened_again(
    store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    one = version_without(store, "m", ["a", "b"], version_without(store, "m", []), "R-1")
    two = version_without(store, "m", ["c"], one, "R-2", union=["a", "b", "c"])
    for ref in (one, two):
        promote(store, ref, Actor("alice", "release"))
    assert execute(["history", "--model", "m"]) == 0
    said = capsys.readouterr()
    assert "is open again" not in said.out
    assert said.err == ""
    rollback(store, "m", Actor("alice", "complaints", reopen=("R-2",)))
    version_without(store, "m", ["d"], two, "R-3")
    assert execute(["history", "--model", "m"]) == 0
    said = capsys.readouterr()
    number = next(n.number for n in read_ledger(store, "m").entries if n.entry.reopened)
    assert f"entry {number}: request {two.request_digest} is open again: complaints" in said.out
    assert "request: m/4 was trained on rows that its lineage had forgotten" in " ".join(said.err.split())
    assert execute(["history", "--model", "m", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["number"] for entry in entries if entry["reopened"]] == [number]


def test_verify_names_versions_without_a_registration_record(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with before_records():
        version(store, "m", tmp_path / "v1")
    assert execute(["verify", "--model", "m"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "not bound: m/1 (no registration record: " in said
    assert "until 'grmu-audit register --bind --name m' has measured them again" in said
    version(store, "m", tmp_path / "v2")
    assert execute(["verify", "--model", "m"]) == 0
    assert "not bound: m/1 (" in capsys.readouterr().out


def test_a_gate_takes_the_newest_audit_of_a_version_and_writes_formats(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ref = version(store, "m", tmp_path / "v1")
    audited(store, ref, [predictions(100)], policy())
    (tmp_path / "p.yaml").write_text(json.dumps(policy(1.0).model_dump(mode="json", by_alias=True)))
    line = ["gate", "--model", "m/1", "--policy", str(tmp_path / "p.yaml"), "--format", f"json={tmp_path / 'gate.json'}"]
    assert execute(line) == 1
    assert "BREACH" in capsys.readouterr().out
    assert json.loads((tmp_path / "gate.json").read_text())["verdict"]["decision"] == "BREACH"
