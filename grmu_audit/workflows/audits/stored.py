"""Stored audits: the newest one of a version, what happened since, and its evidence bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grmu_audit.auditing.evidence_files import LEDGER_FILE, README_FILE, bundle_readme
from grmu_audit.errors import InconclusiveError, IntegrityError
from grmu_audit.evidence.archive import pack
from grmu_audit.evidence.attestation import ATTESTATION_FILE, LEDGER_STATEMENT_FILE, ledger_statement, subjects_of
from grmu_audit.evidence.ledger import Entry, Ledger
from grmu_audit.evidence.signing import configured_signer, open_envelope, sign_envelope
from grmu_audit.records import Audit, Decision, ModelRef
from grmu_audit.tracking import Evidence, Store
from grmu_audit.utils import canonical_json, sha256_hex, write_atomic


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
    content = pack({**_artifacts(store, evidence), **_ledger(store, evidence), README_FILE: bundle_readme(evidence.audit)})
    write_atomic(out, content, mode=0o600)  # it holds predictions, and request data in the report
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
    from grmu_audit.evidence.ledger import TAG_ENTRY, TAG_ENTRY_KIND, TAG_ENTRY_SHA256
    from grmu_audit.tracking.ledger import log_name, read_ledger

    name, version = evidence.ref.name, evidence.ref.version
    last = max(n.number for n in read_ledger(store, name).entries if n.entry.version == version)
    keys = (TAG_ENTRY, TAG_ENTRY_KIND, TAG_ENTRY_SHA256)
    entries = store.entries(log_name(name))[:last]
    rows = [{"number": entry.number, "tags": {key: entry.tags[key] for key in keys}} for entry in entries]
    content = canonical_json(rows)
    statement = ledger_statement(name, len(rows), (LEDGER_FILE, sha256_hex(content)))
    return {LEDGER_FILE: content, LEDGER_STATEMENT_FILE: sign_envelope(statement, configured_signer())}


def newest_audit(store: Store, ref: ModelRef) -> tuple[Audit, dict[str, Any]]:
    """The newest audit of a version, and what the ledger says since.

    Raises:
        InconclusiveError: the version was never audited.
        IntegrityError: the stored audit, its index, the ledger, or the version's files were changed.
    """
    from grmu_audit.tracking.audits import read_evidence

    evidence = read_evidence(store, ref)
    return evidence.audit, ledger_since(store, evidence.audit, evidence.sha256)


def ledger_since(store: Store, audit: Audit, audit_sha256: str) -> dict[str, Any]:
    """Fields for the Request, Decision and Sign-off blocks of a report; what has not happened is left out.

    Args:
        store: whose ledger is read.
        audit: the newest audit of a version.
        audit_sha256: digest of its bytes, which sign-offs cover.

    Returns:
        ``sign_off`` (person, date and note by role, and who signed with a key), ``answered_at``, ``current_champion``,
        ``next_champion``, ``without_forgetting_claim`` and ``rollback_target``.

    Raises:
        IntegrityError: the ledger or a sign-off in it was changed.
    """
    from grmu_audit.tracking import read_ledger

    ledger, ref = read_ledger(store, audit.subject.name), audit.subject
    found: dict[str, Any] = {"sign_off": _sign_off(ledger, ref.version, ref.label, audit_sha256)}
    found["answered_at"] = _answered(ledger, audit)
    champion = ledger.state.champion
    found["current_champion"] = f"{ref.name}/{champion}" if champion else None
    passed = audit.verdict is not None and audit.verdict.decision is Decision.PASS
    found["next_champion"] = ref.label if passed and champion != ref.version else None
    found["without_forgetting_claim"] = _unclaimed(ledger, ref.version)
    target = champion if champion != ref.version else _champion_before(ledger, ref.version)
    found["rollback_target"] = f"{ref.name}/{target}" if target else None
    return {key: value for key, value in found.items() if value}


def _sign_off(ledger: Ledger, version: str, label: str, audit_sha256: str) -> dict[str, str]:
    from grmu_audit.evidence.sign_offs import check_statement, sign_offs
    from grmu_audit.evidence.signing import open_envelope

    shown: dict[str, str] = {}
    signatures = []
    for role, entry in sign_offs(ledger, version, audit_sha256).items():
        check_statement(entry, label)
        shown[role] = _named(entry)
        keys = open_envelope(str(entry.envelope).encode()).keyids
        signatures.append(f"{role}: {'Ed25519 key ' + keys[0][:16] if keys else 'unsigned'}")
    if signatures:
        shown["signature"] = "; ".join(signatures)
    return shown


def _named(entry: Entry) -> str:
    note = f": {entry.reason}" if entry.reason else ""
    return f"{entry.actor}, {entry.time[:10]}{note}"


def _answered(ledger: Ledger, audit: Audit) -> str | None:
    """Date of the last answer, once all requests of the audit are answered."""
    wanted = audit.forget.request.get("request_ids")
    if not isinstance(wanted, list) or not wanted:
        return None
    answered = {n.entry.request: n.entry.time for n in ledger.entries if n.entry.kind == "answer"}
    return max(answered[name] for name in wanted)[:10] if all(name in answered for name in wanted) else None


def _unclaimed(ledger: Ledger, version: str) -> str | None:
    """Why the version was promoted although its verdict claims nothing on forgetting, by its newest promotion."""
    done = [n.entry for n in ledger.entries if n.number in ledger.state.ended and n.entry.version == version]
    return done[-1].without_forgetting_claim if done else None


def _champion_before(ledger: Ledger, version: str) -> str | None:
    """The champion that the version replaced, by its newest promotion that took place."""
    state = ledger.state
    done = [n.entry for n in ledger.entries if n.sha256 in state.owners and n.number in state.ended]
    steps = [entry for entry in done if entry.version == version]
    return steps[-1].champion_before if steps else None
