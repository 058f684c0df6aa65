"""Recording audits with a version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.judged_audits import audit_of, audited, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.errors import IntegrityError
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_evidence, read_ledger, record_audit
from grmu_audit.tracking.audits import INDEX_TAGS
from grmu_audit.tracking.ledger import append_entry
from grmu_audit.utils import canonical_json, sha256_hex


def test_recording_an_audit_without_a_verdict_makes_no_attestation(tmp_path: Path) -> None:
    from dataclasses import replace

    store = MemoryStore(tmp_path / "plain-store")
    ref = version(store, "plain", tmp_path / "plain-v1")
    audit = audited(store, ref, [predictions(600)], policy())
    with store.run("plain", "audit") as run:
        record_audit(store, run, replace(audit, verdict=None))
        assert store.run_artifact(run.id, "attestation.dsse.json") is None


def entered(store: MemoryStore, ref: ModelRef, content: bytes) -> None:
    """A document that ledger and tags name as the newest audit of a version, as somebody with write access could do it."""
    with store.run(ref.name, "audit") as run:
        run.log_bytes(content, "audit.json")
    digest = sha256_hex(content)
    entry = read_ledger(store, ref.name).new_entry("audit", version=ref.version, audit_run=run.id, audit_sha256=digest)
    append_entry(store, entry, ref)
    store.tag(ref, dict(zip(INDEX_TAGS, (run.id, digest, "none", "none"), strict=True)))


@pytest.mark.parametrize("whose", ["own", "other version", "other model"])
def test_a_document_that_ledger_and_tags_name_must_be_an_audit_of_the_version(tmp_path: Path, whose: str) -> None:
    store = MemoryStore(tmp_path / "store")
    ref, other = (version(store, "m", tmp_path / f"v{number}") for number in (1, 2))
    about = {"own": ref, "other version": other, "other model": ModelRef("n", "1", manifest_sha256=ref.manifest_sha256)}[whose]
    tree = audit_of(about, [predictions(100)], policy()).to_json()
    entered(store, ref, canonical_json(tree))
    if whose == "own":
        assert read_evidence(store, ref).audit.subject.label == "m/1"
        entered(store, ref, json.dumps(tree).encode())
        with pytest.raises(IntegrityError, match=r"audit.json of m/1 is not in canonical form: this tool did not write it"):
            read_evidence(store, ref)
    else:
        with pytest.raises(IntegrityError, match=f"the audit that m/1 points at is about {about.label}"):
            read_evidence(store, ref)
