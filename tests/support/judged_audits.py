"""Small audits with real predictions behind them: what bundles, ledgers and gates are tested with; no torch, no training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measurements.imagined_audits import DATA, QUALITY, audit_of, inputs_of, key_pair, policy, predictions, rows_read
from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.errors import GrmuAuditError
from grmu_audit.evidence.signing import load_signer
from grmu_audit.policy import Policy, policy_sha256
from grmu_audit.records import Audit, ModelRef, Predictions
from grmu_audit.tracking import Author, Store, lineage_tags, record_audit


def policy_file(chosen: Policy, folder: Path) -> str:
    """Path of a policy as a file, pinned, as an operator lists it."""
    path = folder / f"{chosen.name}.yaml"
    path.write_text(json.dumps(chosen.model_dump(mode="json", by_alias=True)))
    return f"{path}@{policy_sha256(chosen)}"


def version(store: Store, name: str, folder: Path, content: bytes = b"weights", role: str = "unlearned", **more: Any) -> ModelRef:
    """A registered version with a few bytes of weights."""
    folder.mkdir(parents=True)
    (folder / "state.safetensors").write_bytes(content)
    (folder / "model.json").write_text('{"architecture":"imagined"}')
    with store.run(name, "unlearn") as run:
        return store.register(run, name, folder, role=role, tags=lineage_tags(ModelRef(name, "", method="miu", **more)))


def audited(
    store: Store, ref: ModelRef, tables: Sequence[Predictions], chosen: Policy, key: Path | None = None, **record: Any
) -> Audit:
    """Audit a version and record it, signed when there is a key."""
    made = audit_of(ref, tables, chosen, **record)
    with store.run(ref.name, "audit") as run:
        files = evidence_files(made, chosen, inputs_of(ref, tables))
        record_audit(store, run, made, files, Author("auditor", load_signer(key) if key else None))
    return made


def code_of(error: GrmuAuditError) -> int:
    """Exit code that the command line leaves with."""
    return int(error.exit_code)


__all__ = [
    "DATA", "QUALITY", "audit_of", "audited", "code_of", "inputs_of", "key_pair", "policy", "policy_file", "predictions",
    "rows_read", "version",
]  # fmt: skip
