"""Use case: what is kept with an audit, and the evidence bundle of a version's newest one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.api import judge
from grmu_audit.api.bundle import LEDGER_FILE
from grmu_audit.api.kept_predictions import table_name, to_parquet
from grmu_audit.api.readme import README_FILE, readme
from grmu_audit.api.rescore import sides
from grmu_audit.errors import InconclusiveError, IntegrityError
from grmu_audit.evidence import canonical_json, sha256_hex, write_atomic
from grmu_audit.evidence.attestation import ATTESTATION_FILE, POLICY_FILE, QUALITY_FILE, REPORT_FILE, subjects_of
from grmu_audit.evidence.bundle import pack
from grmu_audit.evidence.signing import open_envelope
from grmu_audit.metrics.changes import align
from grmu_audit.policy.files import policy_tree

if TYPE_CHECKING:
    from grmu_audit.policy import Policy
    from grmu_audit.records import Audit, Predictions
    from grmu_audit.tracking import Evidence, Store


def evidence_files(audited: Audit, policy: Policy, tables: Sequence[Predictions]) -> dict[str, bytes]:
    """Everything that lets a stranger check a verdict, by artifact name, without the audit itself.

    Args:
        audited: a judged audit.
        policy: the policy that judged it.
        tables: predictions of its models, in the order of ``rescore.sides``; ids must be pseudonyms.
    """
    from grmu_audit import report

    files = {
        REPORT_FILE: report.render(judge.as_stored(audited), "html").encode(),
        POLICY_FILE: canonical_json(policy_tree(policy)),
    }
    named = zip(sides(audited), tables, strict=True)
    files |= {table_name(name): to_parquet(align(tables[0], table)) for name, table in named}
    if audited.data_quality is not None:
        files[QUALITY_FILE] = canonical_json(audited.to_json()["data_quality"])
    return files


def export_bundle(store: Store, model: str, out: Path) -> str:
    """Write the bundle; the same evidence gives the same bytes.

    Args:
        store: the tracking store.
        model: reference of an audited version.
        out: the archive to write.

    Returns:
        SHA-256 of the archive.

    Raises:
        InconclusiveError: the version was never audited, or the audit was not judged.
        IntegrityError: something stored is not what was recorded; nothing is written.
    """
    from grmu_audit.tracking import check_attestation, read_evidence

    evidence = read_evidence(store, store.resolve(model))
    if evidence.attestation_sha256 is None:
        raise InconclusiveError(f"the audit of {evidence.ref.label} was not attested: audit it again with a policy")
    check_attestation(store, evidence)
    content = pack({**_artifacts(store, evidence), **_ledger(store, evidence), README_FILE: readme(evidence.audit)})
    write_atomic(out, content)
    return sha256_hex(content)


def _artifacts(store: Store, evidence: Evidence) -> dict[str, bytes]:
    envelope = _artifact(store, evidence, ATTESTATION_FILE)
    named = [name for name in subjects_of(open_envelope(envelope).payload) if not name.startswith("models:/")]
    return {ATTESTATION_FILE: envelope, **{name: _artifact(store, evidence, name) for name in named}}


def _artifact(store: Store, evidence: Evidence, name: str) -> bytes:
    content = store.run_artifact(evidence.run_id, name)
    if content is None:
        raise IntegrityError(f"{name} of the audit of {evidence.ref.label} is gone from the store")
    return content


def _ledger(store: Store, evidence: Evidence) -> dict[str, bytes]:
    from grmu_audit.evidence.chain import TAG_ENTRY, TAG_ENTRY_KIND, TAG_ENTRY_SHA256
    from grmu_audit.tracking.ledger import log_name, read_ledger

    name, version = evidence.ref.name, evidence.ref.version
    last = max(n.number for n in read_ledger(store, name).entries if n.entry.version == version)
    keys = (TAG_ENTRY, TAG_ENTRY_KIND, TAG_ENTRY_SHA256)
    entries = store.entries(log_name(name))[:last]
    rows = [{"number": entry.number, "tags": {key: entry.tags[key] for key in keys}} for entry in entries]
    return {LEDGER_FILE: canonical_json(rows)}
