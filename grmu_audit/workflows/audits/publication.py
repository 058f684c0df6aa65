"""Writes an audit: files, run, attestation, ledger entry, tags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grmu_audit.errors import IntegrityError
from grmu_audit.evidence.signing import configured_signer
from grmu_audit.records import Audit, ModelRef
from grmu_audit.workflows.session import Session


@dataclass(frozen=True)
class Audited:
    """A finished audit and where it lies."""

    audit: Audit
    """Facts and verdict."""
    ref: ModelRef
    """The audited version."""
    folder: Path
    """Folder with ``audit.json`` and ``report.formats.html``."""
    forward_passes: int
    """Passes over the data that this audit had to make; 0 when all predictions were stored."""


def _same_manifest(session: Session, ref: ModelRef) -> None:
    if session.store.manifest_of(ref) != ref.manifest_sha256:
        raise IntegrityError(f"the stored files of {ref.label} are not the ones that were registered: do not use this version")


def _log(session: Session, audited: Audit, shown: dict[str, bytes], ref: ModelRef) -> None:
    """Store files and numbers under an audit run, then the audit itself, which ledger and tags point at."""
    from grmu_audit import report
    from grmu_audit.tracking.audits import Author, record_audit

    signer = configured_signer()
    with session.store.run(ref.name, "audit", parent=ref.run_id) as run:
        run.log_metrics({m.name: m.value for m in audited.metrics if m.subject == "candidate" and m.group is None})
        run.set_tags({"grmu.subject": ref.label})
        record_audit(session.store, run, audited, shown, Author(session.actor, signer))
        session.store.describe(ref, report.build_view(audited)["headline"], run_id=run.id, artifact="report.html")
