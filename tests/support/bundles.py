"""Evidence bundles of audited and promoted versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.judged_audits import DATA, audit_of, audited, inputs_of, policy, predictions, rows_read, version
from support.memory_store import MemoryStore

from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.evidence.attestation import ledger_statement, verdict_statement
from grmu_audit.evidence.ledger import check_ledger
from grmu_audit.evidence.signing import sign_envelope
from grmu_audit.records import Audit, ExactEvidence
from grmu_audit.tracking import Author, promote, record_audit, sign_off
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.workflows.audits.stored import export_bundle

Files = dict[str, bytes]


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


def rewritten(files: Files, change: Callable[[dict[str, Any]], None]) -> Files:
    """What a forger without any key can do: change the audit and recreate everything that depends on it, unsigned."""
    from grmu_audit import report

    tree = json.loads(files["audit.json"])
    change(tree)
    audit = Audit.from_json(tree)
    return sealed({**files, "audit.json": canonical_json(audit.to_json()), "report.html": report.render(audit, "html").encode()})


def sealed(files: Files) -> Files:
    """The files with an unsigned attestation of them as they are, and with a ledger that names it."""
    audit = Audit.from_json(json.loads(files["audit.json"]))
    outside = ("attestation.dsse.json", "ledger.json", "ledger.dsse.json", "README.md")
    kept = {k: sha256_hex(v) for k, v in files.items() if k not in outside}
    attestation = sign_envelope(verdict_statement(audit, kept), None)
    rows = json.loads(files["ledger.json"])
    registered, audited = rows[:2]
    entry = json.loads(audited["tags"]["grmu.ledger.entry"])
    assert entry["kind"] == "audit"
    entry |= {"audit_sha256": kept["audit.json"], "attestation_sha256": sha256_hex(attestation)}
    text = canonical_json(entry)
    tags = {**audited["tags"], "grmu.ledger.entry": text.decode(), "grmu.ledger.sha256": sha256_hex(text)}
    rows = [registered, {**audited, "tags": tags}]
    assert check_ledger(audit.subject.name, [(row["number"], row["tags"]) for row in rows])[1] == []
    return {**files, "attestation.dsse.json": attestation, **exported(audit.subject.name, rows)}


def exported(model: str, rows: list[Any]) -> Files:
    """Entries of a ledger as a bundle holds them, with an unsigned statement of how many they are."""
    ledger = canonical_json(rows)
    statement = ledger_statement(model, len(rows), ("ledger.json", sha256_hex(ledger)))
    return {"ledger.json": ledger, "ledger.dsse.json": sign_envelope(statement, None)}
