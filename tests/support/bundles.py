"""Evidence bundles of audited and promoted versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.judged_audits import DATA, audit_of, audited, inputs_of, policy, predictions, rows_read, version
from support.memory_store import MemoryStore

from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.records import ExactEvidence
from grmu_audit.tracking import Author, promote, record_audit, sign_off
from grmu_audit.utils import sha256_hex
from grmu_audit.workflows.audits.stored import export_bundle


def made(folder: Path, name: str, seeds: list[int], key: Path | None, bound: float = 0.3) -> bytes:
    store = MemoryStore(folder / f"{name}-store")
    ref = version(store, name, folder / f"{name}-v1")
    audited(store, ref, [predictions(seed, 100 + seed // 100) for seed in seeds], policy(bound), key)
    if bound < 0.9:
        promote(store, ref.label)
    sign_off(store, ref, "preparer", Author("ana"), "read it")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRMU_AUDIT_SIGNING_KEY", str(key or ""))
        export_bundle(store, ref.label, folder / f"{name}.zip")
    return (folder / f"{name}.zip").read_bytes()


def made_exact(folder: Path) -> bytes:
    """A bundle of a retrained version with exact evidence."""
    store = MemoryStore(folder / "exact-store")
    before, after, other = (predictions(seed, 103) for seed in (700, 701, 702))
    config = {"rows_read_sha256": sha256_hex(rows_read(after))}
    ref = version(store, "exact", folder / "exact-v1", role="retrain", config=config, data_digest=DATA)
    evidence = ExactEvidence(True, f"{ref.label} was trained from fresh weights, and its record shows that no row was read.")
    chosen = policy(0.3)
    made = audit_of(ref, [after, before, other], chosen, exact=evidence)
    with store.run(ref.name, "audit") as run:
        files = evidence_files(made, chosen, inputs_of(ref, [after, before, other]))
        record_audit(store, run, made, files, Author("auditor"))
    export_bundle(store, ref.label, folder / "exact.zip")
    return (folder / "exact.zip").read_bytes()
