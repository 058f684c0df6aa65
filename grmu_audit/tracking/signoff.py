"""Sign-off: persons who put their names under an audit; preparer and reviewer must be two."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from grmu_audit.errors import InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence.attestation import read_statement, sign_off_statement
from grmu_audit.evidence.signing import open_envelope, seal, signed_by
from grmu_audit.tracking import ledger, names
from grmu_audit.tracking.audits import Evidence, read_evidence, timestamp

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

    from grmu_audit.records import ModelRef
    from grmu_audit.tracking.base import Store

PEOPLE = ("preparer", "reviewer", "approver")
"""Roles of a sign-off; the first two are asked for, and must be two persons."""


def sign_off(
    store: Store,
    ref: ModelRef,
    *,
    role: str,
    person: str,
    note: str = "",
    signer: CryptoSigner | None = None,
    now: datetime | None = None,
) -> ledger.Numbered:
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
    _refuse_conflict(sign_offs(book, evidence), role, person, _keyids(envelope), ref.label)
    note_entry = book.note(
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
    return ledger.append(store, note_entry, ref)


def sign_offs(book: ledger.Ledger, evidence: Evidence) -> dict[str, ledger.Entry]:
    """Sign-offs of exactly this audit by role; the first of each role counts."""
    found: dict[str, ledger.Entry] = {}
    for numbered in book.entries:
        entry = numbered.entry
        same = (entry.version, entry.audit_sha256) == (evidence.ref.version, evidence.sha256)
        if entry.kind == "sign-off" and same and entry.role in PEOPLE:
            found.setdefault(str(entry.role), entry)
    return found


def require_sign_off(book: ledger.Ledger, evidence: Evidence, keys: Sequence[SSlibKey] = ()) -> None:
    """Insist on a preparer and a reviewer who are two persons, and with trusted keys on their signatures.

    Raises:
        InconclusiveError: one is missing.
        IntegrityError: both are the same person or key, or a statement does not fit its entry.
    """
    found, label = sign_offs(book, evidence), evidence.ref.label
    for role in PEOPLE[:2]:
        if role not in found:
            raise InconclusiveError(
                f"the audit of {label} was not signed off by a {role}: run 'grmu-audit sign-off --model {label} --role {role}'"
            )
        _check_statement(found[role], evidence, keys)
    preparer, reviewer = (found[role] for role in PEOPLE[:2])
    keyids = [_keyids(str(entry.envelope)) for entry in (preparer, reviewer)]
    if _same(preparer.actor, reviewer.actor) or set(keyids[0]) & set(keyids[1]):
        raise IntegrityError(f"preparer and reviewer of {label} are the same person or key ({preparer.actor}): two are needed")


def _refuse_conflict(found: dict[str, ledger.Entry], role: str, person: str, keyids: tuple[str, ...], label: str) -> None:
    if role in found:
        raise InputError(f"{found[role].actor} has signed off {label} as {role} already, on {found[role].time}")
    for other in PEOPLE[:2] if role in PEOPLE[:2] else ():
        entry = found.get(other)
        if entry is None:
            continue
        if _same(entry.actor, person):
            raise InputError(f"{person} has signed off {label} as {other}: preparer and reviewer must be two persons")
        if set(_keyids(str(entry.envelope))) & set(keyids):
            raise InputError(f"the {other} of {label}, {entry.actor}, signed with the same key: each person needs an own one")


def _check_statement(entry: ledger.Entry, evidence: Evidence, keys: Sequence[SSlibKey]) -> None:
    content = str(entry.envelope).encode()
    statement = read_statement(open_envelope(content).payload)
    said = statement.get("predicate", {})
    subjects = {item["name"]: item["digest"]["sha256"] for item in statement.get("subject", [])}
    fits = (said.get("role"), said.get("person"), said.get("time")) == (entry.role, entry.actor, entry.time)
    if not fits or subjects.get(names.AUDIT_FILE) != evidence.sha256:
        raise IntegrityError(f"the sign-off of {evidence.ref.label} as {entry.role} does not say what the ledger says of it")
    if keys and not signed_by(content, keys):
        raise IntegrityError(f"the sign-off of {evidence.ref.label} as {entry.role} is not signed by a trusted key")


def _keyids(envelope: str) -> tuple[str, ...]:
    return open_envelope(envelope.encode()).keyids


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
