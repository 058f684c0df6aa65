"""Publishes an audit: files, run, attestation, ledger entry, tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grmu_audit.auditing.audit_files import write_audit
from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.errors import IntegrityError
from grmu_audit.evidence.attestation import REPORT_FILE
from grmu_audit.evidence.ledger import Author
from grmu_audit.evidence.signing import configured_signer
from grmu_audit.policy import Policy
from grmu_audit.records import Audit, AuditInputs, ModelRef
from grmu_audit.tracking.names import TAG_SUBJECT
from grmu_audit.utils import write_atomic
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.costs import Cost


@dataclass(frozen=True)
class AuditResult:
    """A finished audit and its folder."""

    audit: Audit
    """Facts and verdict."""
    folder: Path
    """Folder with ``audit.json`` and ``report.html``."""
    resources: Mapping[str, float]
    """Its cost, as its run records it: seconds, processor seconds, samples that went through networks, largest memory, energy."""

    @property
    def ref(self) -> ModelRef:
        """The audited version."""
        return self.audit.subject

    @property
    def forward_passes(self) -> int:
        """Passes over the data that this audit needed; 0 when everything was stored."""
        return int(self.audit.record["forward_passes"])

    def __repr__(self) -> str:
        """Version, decision and folder."""
        decision = self.audit.verdict.decision if self.audit.verdict else "not judged"
        return f"<AuditResult of {self.ref.label}: {decision}, report in {self.folder}>"

    def _repr_html_(self) -> str:
        """The report, for notebooks."""
        from grmu_audit.report import framed

        return framed((self.folder / REPORT_FILE).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Finished:
    """A finished audit with what it was made from."""

    audit: Audit
    """Judged, as it is read back from its file."""
    policy: Policy
    """What it was judged by."""
    inputs: AuditInputs
    """Its models."""
    cost: Cost
    """What collecting, measuring and judging cost."""


def publish(session: Session, finished: Finished, out: Path) -> AuditResult:
    """Write the files, and store everything under an audit run that ledger and tags of the version point at.

    Args:
        session: store and key.
        finished: the audit; what it cost becomes metrics of its run, since no two runs cost the same.
        out: folder for ``audit.json`` and ``report.html``; created if need be.

    Raises:
        IntegrityError: the version's stored files are not the ones that were registered.
    """
    from grmu_audit.tracking.audits import record_audit

    audit, inputs = finished.audit, finished.inputs
    ref, resources = inputs.candidate.ref, {"seconds": round(finished.cost.seconds, 1), **finished.cost.resources}
    check_files_unchanged(session, ref)
    files = evidence_files(audit, finished.policy, inputs)
    out.mkdir(parents=True, exist_ok=True)
    write_audit(audit, out / "audit.json")
    write_atomic(out / REPORT_FILE, files[REPORT_FILE])
    with session.store.run(ref.name, "audit", parent=ref.run_id) as run:
        run.log_metrics(resources)
        run.set_tags({TAG_SUBJECT: ref.label})
        record_audit(session.store, run, audit, files, Author(session.actor, configured_signer()))
    return AuditResult(audit, out, resources)


def check_files_unchanged(session: Session, ref: ModelRef) -> None:
    """Return when the stored files of a version are the ones that were registered.

    Raises:
        IntegrityError: they are not.
    """
    if session.store.manifest_of(ref) != ref.manifest_sha256:
        raise IntegrityError(f"the stored files of {ref.label} are not the ones that were registered: do not use this version")
