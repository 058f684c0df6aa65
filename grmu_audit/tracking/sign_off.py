"""Sign-off: persons who put their names under an audit; preparer and reviewer must be two."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from grmu_audit.errors import InconclusiveError, InputError
from grmu_audit.evidence.attestation import sign_off_statement
from grmu_audit.evidence.ledger import Numbered
from grmu_audit.evidence.sign_offs import PEOPLE, refuse_conflict, sign_offs
from grmu_audit.evidence.signing import seal
from grmu_audit.tracking import ledger
from grmu_audit.tracking.audits import read_evidence
from grmu_audit.utils.clock import timestamp

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from grmu_audit.records import ModelRef
    from grmu_audit.tracking.store import Store


def sign_off(
    store: Store,
    ref: ModelRef,
    *,
    role: str,
    person: str,
    note: str = "",
    signer: CryptoSigner | None = None,
    now: datetime | None = None,
) -> Numbered:
    """Enter a dated sign-off of the newest audit of a version, covering the digest of that audit.

    Args:
        store: the tracking store.
        ref: the audited version.
        role: one of ``PEOPLE``.
        person: who signs.
        note: in that person's words.
        signer: signs the statement; without one it is unsigned.
        now: when; the clock when not given.

    Raises:
        InputError: another role, no name, a role that is taken, or a person or key that holds the other role.
        InconclusiveError: never audited, or not judged.
        IntegrityError: the audit is not what was recorded.
    """
    if role not in PEOPLE:
        raise InputError(f"role {role!r} is not one of {', '.join(PEOPLE)}")
    if not person.strip() or person == "unknown":
        raise InputError("a sign-off needs the name of a person: give --actor")
    evidence = read_evidence(store, ref)
    if evidence.audit.verdict is None:
        raise InconclusiveError(f"{ref.label} was measured but not judged: there is no verdict to sign off")
    book = ledger.read_ledger(store, ref.name)
    when = timestamp(now)
    payload = sign_off_statement(evidence.audit, evidence.sha256, role=role, person=person, time=when, note=note)
    envelope = seal(payload, signer).decode()
    wish = book.note(
        "sign-off",
        version=ref.version,
        audit_run=evidence.run_id,
        audit_sha256=evidence.sha256,
        role=role,
        actor=person,
        time=when,
        reason=note,
        envelope=envelope,
    )
    refuse_conflict(sign_offs(book, ref.version, evidence.sha256), wish, ref.label)
    return ledger.append(store, wish, ref)
