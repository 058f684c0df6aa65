"""Recording audits with a version."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.judged_audits import audited, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.errors import ExitCode, IntegrityError
from grmu_audit.tracking import promote, record_audit, verify


def test_recording_an_audit_without_a_verdict_makes_no_attestation(tmp_path: Path) -> None:
    from dataclasses import replace

    store = MemoryStore(tmp_path / "plain-store")
    ref = version(store, "plain", tmp_path / "plain-v1")
    audit = audited(store, ref, [predictions(600)], policy())
    with store.run("plain", "audit") as run:
        record_audit(store, run, replace(audit, verdict=None))
        assert store.run_artifact(run.id, "attestation.dsse.json") is None


def test_an_edited_description_is_found_and_an_audit_without_one_has_none_to_edit(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "described-store")
    ref = version(store, "described", tmp_path / "described-v1")
    audit = audited(store, ref, [predictions(600)], policy())
    assert verify(store, "described") == []
    run = store.tags(ref)["grmu.audit_run"]
    store.describe(ref, "**PASS**, all is well", run_id=run, artifact="report.html")
    (found,) = verify(store, "described")
    assert found.check == "description"
    assert found.error.exit_code is ExitCode.INTEGRITY
    assert "description of described/1" in found.message
    with pytest.raises(IntegrityError, match="the description of described/1 in the registry is not the one written"):
        promote(store, ref)
    with store.run("described", "audit") as again:
        record_audit(store, again, audit)
    assert verify(store, "described") == []
