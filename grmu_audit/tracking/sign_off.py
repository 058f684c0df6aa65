"""Sign-off: people who sign an audit; preparer and reviewer must be two."""

from __future__ import annotations

from grmu_audit.errors import InconclusiveError, InputError
from grmu_audit.evidence.attestation import sign_off_statement
from grmu_audit.evidence.ledger import Author, LedgerEntry
from grmu_audit.evidence.sign_offs import SIGN_OFF_ROLES, refuse_conflict, sign_offs
from grmu_audit.evidence.signing import sign_envelope
from grmu_audit.records import ModelRef
from grmu_audit.tracking.audits import read_evidence
from grmu_audit.tracking.ledger import append_entry, read_ledger
from grmu_audit.tracking.store import Store
from grmu_audit.utils.clock import timestamp


def sign_off(store: Store, ref: ModelRef, role: str, author: Author, note: str = "") -> LedgerEntry:
    """Enter a dated sign-off of the newest audit of a version, covering the digest of that audit.

    Args:
        store: the tracking store.
        ref: the audited version.
        role: one of ``SIGN_OFF_ROLES``.
        author: the person, and what signs the statement.
        note: in that person's words.

    Raises:
        InputError: another role, no name, a role that is taken, or a person or key that holds the other role.
        InconclusiveError: never audited, or not judged.
        IntegrityError: the audit is not what was recorded.
    """
    if role not in SIGN_OFF_ROLES:
        raise InputError(f"role {role!r} is not one of {', '.join(SIGN_OFF_ROLES)}")
    if not author.name.strip() or author.name == "unknown":
        raise InputError("a sign-off needs the name of a person: give --actor")
    evidence = read_evidence(store, ref)
    if evidence.audit.verdict is None:
        raise InconclusiveError(f"{ref.label} was measured but not judged: there is no verdict to sign off")
    ledger = read_ledger(store, ref.name)
    time = timestamp(author.now)
    said = {"role": role, "person": author.name, "time": time, "note": note, "account": store.account}
    payload = sign_off_statement(evidence.audit, evidence.sha256, **said)
    entry = ledger.new_entry(
        "sign-off",
        version=ref.version,
        audit_run=evidence.run_id,
        audit_sha256=evidence.sha256,
        role=role,
        actor=author.name,
        account=store.account,
        time=time,
        reason=note,
        envelope=sign_envelope(payload, author.signer).decode(),
    )
    refuse_conflict(sign_offs(ledger, ref.version, evidence.sha256), entry, ref.label)
    return append_entry(store, entry, ref)
