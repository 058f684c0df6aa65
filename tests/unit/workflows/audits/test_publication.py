"""What an audit publishes: the record of the rows that were read goes with exact evidence, and the bundle agrees with itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from support.deletions import small_table
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.auditing.bundle_check import verify_bundle
from grmu_audit.auditing.rows_read import EARLIER_SCHEMA
from grmu_audit.evaluation import adversarial
from grmu_audit.evidence.archive import unpack
from grmu_audit.policy import load_named
from grmu_audit.records import ModelRef
from grmu_audit.tracking.names import TAG_AUDIT_RUN
from grmu_audit.utils import canonical_json
from grmu_audit.workflows import rows_read
from grmu_audit.workflows.audits.collection import AuditSettings
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.audits.stored import export_bundle
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn


def test_the_bundle_of_a_retrained_version_shows_its_exact_evidence(lineage: tuple[Session, ModelRef, Path]) -> None:
    session, _, root = lineage
    done = audit(session, "m/2", load_named("default"), root / "out")
    assert done.audit.exact is not None
    assert done.audit.exact.verified
    export_bundle(session.store, "m/2", root / "exact.zip")
    checked = verify_bundle(root / "exact.zip")
    assert checked.findings == ()
    record = json.loads(unpack((root / "exact.zip").read_bytes())[0]["rows_read.json"])
    assert len(record["training_rows_not_read"]) == done.audit.forget.count


def test_the_bundle_of_any_other_version_has_no_such_record(lineage: tuple[Session, ModelRef, Path]) -> None:
    session, tuned, root = lineage
    done = audit(session, tuned.label, load_named("default"), root / "out-tuned")
    assert done.audit.exact is None
    assert [control.name for control in done.audit.controls][:3] == ["before", "before, logits x 0.3", "before, labels only"]
    export_bundle(session.store, tuned.label, root / "tuned.zip")
    assert verify_bundle(root / "tuned.zip").findings == ()
    files = unpack((root / "tuned.zip").read_bytes())[0]
    assert "rows_read.json" not in files
    assert files["rows_read-reference-1.json"] == session.store.run_artifact(done.audit.references[0].run_id, "rows_read.json")


def test_the_record_of_a_reference_that_calls_rows_by_pseudonyms_is_not_given_away(
    lineage: tuple[Session, ModelRef, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tuned, root = lineage
    stored = rows_read.version_artifact

    def earlier(*given: Any) -> bytes:
        """As an earlier version of this tool wrote it."""
        return canonical_json({**json.loads(stored(*given) or b""), "schema": EARLIER_SCHEMA})

    monkeypatch.setattr(rows_read, "version_artifact", earlier)
    done = audit(session, tuned.label, load_named("default"), root / "out-earlier")
    export_bundle(session.store, tuned.label, root / "earlier.zip")
    checked = verify_bundle(root / "earlier.zip")
    assert checked.findings == ()
    assert any("the rows that reference#1 read were not compared here" in note for note in checked.notes)
    assert "record of the rows that m/2 read" in [missing.name for missing in done.audit.not_measured]
    assert not [name for name in unpack((root / "earlier.zip").read_bytes())[0] if name.startswith("rows_read")]


def test_a_bundle_agrees_after_forgotten_rows_were_deleted_from_the_data(tmp_path: Path) -> None:
    session, small = open_session(MemoryStore(tmp_path / "store"), tmp_path), small_table(tmp_path / "data")
    (tmp_path / "ids.csv").write_text("id\nr024\nr025\n")
    short = {"epochs": 1, "batch_size": 32}
    base = pretrain(session, "t", small.spec, NetworkChoice("mlp"), TrainingOptions(short))
    for seed in (0, 1):
        made = unlearn(session, base.label, tmp_path / "ids.csv", UnlearnOptions("retrain", short, seed=seed))
    small.delete(["r024", "r025"])
    done = audit(open_session(session.store, tmp_path), made.label, load_named("default"), tmp_path / "out")
    assert done.audit.exact is not None
    assert done.audit.exact.verified
    assert len(done.audit.references) == 1
    export_bundle(session.store, made.label, tmp_path / "t.zip")
    assert verify_bundle(tmp_path / "t.zip").findings == ()


def test_the_run_of_an_audit_says_what_it_cost(lineage: tuple[Session, ModelRef, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """At level quick nothing goes through a network; the probes of level standard do."""
    session, tuned, root = lineage
    monkeypatch.setattr(adversarial, "STEPS", 1)
    forwards = []
    for level in ("quick", "standard"):
        done = audit(
            session, tuned.label, load_named("default"), root / f"cost-{level}", AuditSettings(level=level, return_epochs=1)
        )
        run = MlflowClient(session.store.uri).get_run(str(session.store.tags(tuned)[TAG_AUDIT_RUN]))
        assert {name: run.data.metrics[name] for name in done.resources} == dict(done.resources)
        assert {"seconds", "processor_seconds", "forwards", "peak_memory_mib"} <= set(done.resources)
        assert done.resources["processor_seconds"] > 0
        assert done.resources["peak_memory_mib"] > 50
        forwards.append(done.resources["forwards"])
    assert forwards == [0, done.audit.record["evaluations"]]
