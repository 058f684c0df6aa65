"""Recording audits with a version."""

from __future__ import annotations

from pathlib import Path

from support.judged_audits import audited, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.tracking import record_audit


def test_recording_an_audit_without_a_verdict_makes_no_attestation(tmp_path: Path) -> None:
    from dataclasses import replace

    store = MemoryStore(tmp_path / "plain-store")
    ref = version(store, "plain", tmp_path / "plain-v1")
    audit = audited(store, ref, [predictions(600)], policy())
    with store.run("plain", "audit") as run:
        record_audit(store, run, replace(audit, verdict=None))
        assert store.run_artifact(run.id, "attestation.dsse.json") is None
