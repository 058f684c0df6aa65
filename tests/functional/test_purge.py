"""A purge by command line: nothing of the purged version is left in any byte of the stores, and the lineage goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.judged_audits import policy_file
from support.purges import IDS, doomed_files, rows_with_outputs_of, served_store
from support.requests import CLAIMING

from grmu_audit.cli.app import execute
from grmu_audit.evaluation.predict import from_parquet
from grmu_audit.evidence import pseudonyms
from grmu_audit.policy import load_named
from grmu_audit.records.audit import PURGED_REASON
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.names import PREDICTIONS
from grmu_audit.utils import sha256_file
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.session import Session

pytestmark = pytest.mark.slow
PURGE = ["requests", "purge", "R-1", "--model", "m"]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A served request in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", policy_file(CLAIMING, tmp_path))
    for name in ("images", "tokens"):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "file").write_bytes(b"features of people")
    return served_store(tmp_path)


def test_a_purge_leaves_no_byte_and_the_lineage_goes_on(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, doomed = session.store, doomed_files(session)
    outputs = from_parquet(store.run_artifact(str(store.resolve("m/1").run_id), PREDICTIONS) or b"")
    weights = store.run_artifact(str(store.resolve("m/1").run_id), "model/state.safetensors") or b""
    refused(session, tmp_path, capsys)
    assert execute([*PURGE, "--yes", "--reason", "they asked"]) == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not {sha256_file(path) for path in files} & set(doomed.values())
    assert not any(weights[-64:] in path.read_bytes() or b"features of " in path.read_bytes() for path in files)
    kept = set(rows_with_outputs_of(session, outputs.logits, tmp_path / "mlruns"))
    assert kept == set(outputs.ids[outputs.split == "test"].tolist())
    assert not kept & set(pseudonyms(session.key, IDS))
    capsys.readouterr()
    assert execute(["verify", "--model", "m"]) == 0
    assert execute(["history", "--model", "m"]) == 0
    assert "files of m/1 are deleted on purpose: they asked" in capsys.readouterr().out
    assert execute([*PURGE, "--yes"]) == 2
    for line in (["audit", "--model", "m/1"], ["report", "--model", "m/1"], ["promote", "--model", "m/1"]):
        capsys.readouterr()
        assert execute(line) == 3, line
        assert "m/1 was purged (ledger entry" in capsys.readouterr().err
    goes_on(tmp_path)
    capsys.readouterr()
    assert execute(["requests", "impact", "R-1", "--model", "m", "--json"]) == 0
    found = {row["name"]: row["action"] for row in json.loads(capsys.readouterr().out)}
    assert (found["m/1"], found["b.zip of m/3"], found["the data itself"]) == ("kept", "open", "open")
    lost_is_not_purged(session, capsys)


def refused(session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every reason against a purge, and nothing is deleted by any."""
    store, last = session.store, "holds are entered"
    everything = {path: sha256_file(path) for path in (tmp_path / "mlruns").rglob("*") if path.is_file() and path.suffix != ".db"}
    (tmp_path / "other.csv").write_text("id\nr048\n")
    store.set_alias("m", "blue", "1")
    for line, code, said in (
        ([*PURGE, "--yes"], 2, "still in use: blue leads to m/1"),
        (["requests", "purge", "R-9", "--model", "m"], 2, "it has: R-1"),
        (["requests", "purge", "--model", "m"], 2, "one of the two"),
        (["requests", "purge", "--model", "m", "--forget", "other.csv", "--yes"], 2, "still in use"),
        (["requests", "hold", "--model", "m", "--reason", " "], 2, "--reason"),
        (["requests", "hold", "R-1", "--model", "m", "--reason", "court case 7"], 0, ""),
        ([*PURGE, "--yes"], 2, "R-1 by anna"),
        (["requests", "release", "--model", "m", "--reason", "x"], 2, "active: R-1"),
        (["requests", "release", "R-1", "--model", "m", "--reason", "closed"], 0, ""),
    ):
        capsys.readouterr()
        assert execute(["--actor", "anna", *line]) == code, line
        assert said in capsys.readouterr().err, line
    store.delete_alias("m", "blue")
    for line, code, said in (
        (PURGE, 2, "--yes deletes what is listed above"),
        (["requests", "purge", "--model", "m", "--forget", "other.csv", "--yes"], 2, "still in use: champion leads to m/2"),
        (
            [*PURGE, "--yes", "--require-sign-off"],
            3,
            "'grmu-audit --actor NAME requests purge R-1 --model m --sign-off preparer'",
        ),
        ([*PURGE, "--sign-off", "preparer"], 0, ""),
        ([*PURGE, "--sign-off", "reviewer"], 2, "preparer and reviewer must be two people"),
        ([*PURGE, "--yes", "--require-sign-off"], 3, "was not signed off by a reviewer"),
        ([*PURGE, "--dry-run"], 0, ""),
        ([*PURGE, "--resume"], 2, "--resume"),
        (["requests", "purge", "--model", "m", "--resume"], 0, ""),
    ):
        capsys.readouterr()
        assert execute(["--actor", "anna", *line]) == code, line
        assert said in capsys.readouterr().err, line
    assert {path: sha256_file(path) for path in everything} == everything, last


def goes_on(tmp_path: Path) -> None:
    """The next request is served, audited against a root that was purged, and promoted; the champion is audited again."""
    (tmp_path / "b.csv").write_text("id,request_id\nr048,R-2\nr049,R-2\n")
    short = ["--set", "epochs=1", "--set", "batch_size=32"]
    assert execute(["unlearn", "--model", "m", "--forget", "b.csv", "--method", "ft", *short]) == 0
    again = audit(Session(device="cpu"), "m/2", load_named("default"), tmp_path / "again")
    verdict = again.audit.verdict
    assert verdict is not None
    assert not verdict.claims_forgetting
    rules = {rule.id: rule for rule in verdict.rules}
    for name in ("forgotten", "retained-data-kept"):
        assert not rules[name].applied
        assert rules[name].reason.startswith(f"not applied: not measured: {PURGED_REASON}m/1 was purged")
    assert rules["test-accuracy-kept"].applied
    assert rules["test-accuracy-kept"].observed is not None
    later = audit(Session(device="cpu"), "m/3", load_named("default"), tmp_path / "later")
    assert later.audit.purged.keys() == {"root"}
    found = {rule.id: rule for rule in later.audit.verdict.rules} if later.audit.verdict else {}
    assert found["test-accuracy-kept-in-lineage"].observed is not None
    assert not found["retained-data-kept-in-lineage"].applied
    assert later.audit.controls
    policy = str(tmp_path / "claiming.yaml")
    assert execute(["audit", "--model", "m/3", "--policy", policy, "--out", "o"]) == 0
    assert execute(["promote", "--model", "m/3"]) == 0
    assert execute(["evidence", "export", "--model", "m/3", "--out", "b.zip"]) == 0
    assert execute(["evidence", "verify", "b.zip"]) == 0
    assert execute(["verify", "--model", "m"]) == 0


def lost_is_not_purged(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is gone without a purge is lost; one that comes back was purged."""
    store = session.store
    purged = store.resolve("m/1")
    record = next(n.entry for n in read_ledger(store, "m").entries if n.entry.kind == "purge")
    assert list(record.purged or ()) == ["1"]
    place = next((session.root / "artifacts").rglob(str(purged.run_id))) / "artifacts" / "model"
    place.mkdir()
    (place / "state.safetensors").write_bytes(b"from a backup")
    capsys.readouterr()
    assert execute(["verify", "--model", "m"]) == 6
    assert "purged (ledger entry" in capsys.readouterr().out
    assert execute([*PURGE, "--yes"]) == 0
    assert execute(["verify", "--model", "m"]) == 0
    lost = store.resolve("m/2")
    next((session.root / "artifacts").rglob(str(lost.run_id))).joinpath("artifacts", PREDICTIONS).unlink()
    assert execute(["verify", "--model", "m"]) == 6
    assert f"{PREDICTIONS} of m/2 is gone" in capsys.readouterr().out
