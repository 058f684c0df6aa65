"""What an audit publishes: the record of the rows that were read goes with exact evidence, and the bundle agrees with itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from grmu_audit.auditing.bundle_check import verify_bundle
from grmu_audit.evaluation import adversarial
from grmu_audit.evidence.archive import unpack
from grmu_audit.policy import load_named
from grmu_audit.records import ModelRef
from grmu_audit.tracking.names import TAG_AUDIT_RUN
from grmu_audit.workflows.audits.collection import AuditSettings
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.audits.stored import export_bundle
from grmu_audit.workflows.session import Session


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
    assert "rows_read.json" not in unpack((root / "tuned.zip").read_bytes())[0]


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
