"""Evidence bundles of audited and promoted versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.judged_audits import audit_of, audited, inputs_of, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.auditing.rows_read import SCHEMA
from grmu_audit.records import ExactEvidence, Predictions
from grmu_audit.tracking import Author, promote, record_audit, sign_off
from grmu_audit.utils import canonical_json, sha256_hex
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
    record = rows_read(after)
    ref = version(store, "exact", folder / "exact-v1", role="retrain", config={"rows_read_sha256": sha256_hex(record)})
    evidence = ExactEvidence(True, f"{ref.label} was trained from fresh weights, and its record shows that no row was read.")
    chosen = policy(0.3)
    made = audit_of(ref, [after, before, other], chosen, exact=evidence)
    with store.run(ref.name, "audit") as run:
        files = evidence_files(made, chosen, inputs_of(ref, [after, before, other]), record)
        record_audit(store, run, made, files, Author("auditor"))
    export_bundle(store, ref.label, folder / "exact.zip")
    return (folder / "exact.zip").read_bytes()


def rows_read(table: Predictions) -> bytes:
    """The record of a run that read every retained row and no row of the forget set."""
    unread = sorted(table.ids[table.mask("forget")].tolist())
    read = int(table.mask("retain").sum())
    counts = {"training_rows": read + len(unread), "training_rows_read": read, "other_rows_read": 0}
    return canonical_json({"schema": SCHEMA, "data_sha256": "d" * 64, **counts, "training_rows_not_read": unread})
