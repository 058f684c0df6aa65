"""Sign-offs of an audit, from the ledger; preparer and reviewer must be two people: with two trusted keys, or two accounts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from grmu_audit.errors import InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence.attestation import AUDIT_FILE, PURGE_FILE, read_statement, subjects_of
from grmu_audit.evidence.ledger import Entry, Ledger
from grmu_audit.evidence.signing import open_envelope, signed_by

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

SIGN_OFF_ROLES = ("preparer", "reviewer", "approver")
"""Roles of a sign-off; the first two can be required, and must be two people."""


def sign_offs(ledger: Ledger, version: str, audit_sha256: str) -> dict[str, Entry]:
    """Sign-offs of exactly this audit by role; the first of each role counts."""
    found: dict[str, Entry] = {}
    for numbered in ledger.entries:
        entry = numbered.entry
        same = (entry.version, entry.audit_sha256) == (version, audit_sha256)
        if entry.kind == "sign-off" and same and entry.role in SIGN_OFF_ROLES:
            found.setdefault(str(entry.role), entry)
    return found


def require_two_people(
    found: dict[str, Entry],
    label: str,
    keys: Sequence[SSlibKey] = (),
    *,
    champion: bool = False,
    keyids: Collection[str] = frozenset(),
) -> None:
    """Require a preparer and a reviewer who are two people, and with trusted keys their signatures.

    Names alone do not make two people: without trusted keys, the store's two accounts do.

    Args:
        found: sign-offs by role.
        label: the version, for messages.
        keys: trusted public keys.
        champion: whether the version is champion already: it stays one where accounts were not recorded when it was signed off.
        keyids: ids of the keys that were trusted when the sign-offs counted; without ``keys`` each must name one of them.

    Raises:
        InconclusiveError: one is missing.
        IntegrityError: both are the same person, key or account, or a statement does not fit its entry.
    """
    for role in SIGN_OFF_ROLES[:2]:
        if role not in found:
            raise InconclusiveError(
                f"the audit of {label} was not signed off by a {role}: run 'grmu-audit sign-off --model {label} --role {role}'"
            )
        check_statement(found[role], label, keys)
        if keyids and not set(_keyids(found[role])) & set(keyids):
            raise IntegrityError(f"the {role} of {label} signed with a key that was not trusted then")
    preparer, reviewer = (found[role] for role in SIGN_OFF_ROLES[:2])
    if _same(preparer.actor, reviewer.actor) or set(_keyids(preparer)) & set(_keyids(reviewer)):
        raise IntegrityError(f"preparer and reviewer of {label} are the same person or key ({preparer.actor}): two are needed")
    unrecorded = preparer.account is None and reviewer.account is None
    if not (keys or keyids or _two_accounts(preparer, reviewer) or (champion and unrecorded)):
        raise IntegrityError(
            f"preparer and reviewer of {label} signed off from {_accounts(preparer, reviewer)}, and no trusted key tells them"
            " apart: give the public keys of both with --public-key, or let each sign off from their own account"
        )


def refuse_conflict(found: dict[str, Entry], entry: Entry, label: str) -> None:
    """Refuse a sign-off whose role is taken, or whose person or key holds the role that must be another's.

    Raises:
        InputError: it is so.
    """
    role = str(entry.role)
    if role in found:
        raise InputError(f"{found[role].actor} has signed off {label} as {role} already, on {found[role].time}")
    for other in SIGN_OFF_ROLES[:2] if role in SIGN_OFF_ROLES[:2] else ():
        earlier = found.get(other)
        if earlier is None:
            continue
        if _same(earlier.actor, entry.actor):
            raise InputError(f"{entry.actor} has signed off {label} as {other}: preparer and reviewer must be two people")
        if set(_keyids(earlier)) & set(_keyids(entry)):
            raise InputError(f"the {other} of {label}, {earlier.actor}, signed with the same key: each needs their own key")
        if not (_two_accounts(earlier, entry) or (_keyids(earlier) and _keyids(entry))):
            raise InputError(
                f"{entry.actor} and {earlier.actor}, the {other} of {label}, sign off from {_accounts(earlier, entry)}: two names"
                " on one account are not two people; each must sign with their own key (GRMU_AUDIT_SIGNING_KEY) or account"
            )


def check_statement(entry: Entry, label: str, keys: Sequence[SSlibKey] = ()) -> None:
    """Compare a sign-off with the statement in its envelope.

    Raises:
        IntegrityError: they do not say the same, or no trusted key signed it.
    """
    content = str(entry.envelope).encode()
    payload = open_envelope(content).payload
    subjects = subjects_of(payload)
    said = read_statement(payload).get("predicate")
    said = said if isinstance(said, dict) else {}
    fits = (said.get("role"), said.get("person"), said.get("time")) == (entry.role, entry.actor, entry.time)
    if (
        not fits
        or said.get("account") != entry.account
        or said.get("note") != entry.reason
        or (subjects.get(AUDIT_FILE), subjects.get(PURGE_FILE)) != (entry.audit_sha256, entry.record_sha256)
    ):
        raise IntegrityError(f"the sign-off of {label} as {entry.role} does not say what the ledger says of it")
    if keys and not signed_by(content, keys):
        raise IntegrityError(f"the sign-off of {label} as {entry.role} by {entry.actor} is not signed by a trusted key")


def _keyids(entry: Entry) -> tuple[str, ...]:
    return open_envelope(str(entry.envelope).encode()).keyids


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _two_accounts(one: Entry, other: Entry) -> bool:
    """Whether two accounts of one kind wrote two entries; one of a server and one of a machine may be one person's."""
    kinds = [entry.account.partition(":")[0] for entry in (one, other) if entry.account]
    return len(kinds) == 2 and kinds[0] == kinds[1] and one.account != other.account


def _accounts(one: Entry, other: Entry) -> str:
    if one.account == other.account:
        return f"one account ({one.account})" if one.account else "accounts that were not recorded"
    return f"accounts that may be one person's ({one.account or 'not recorded'}, {other.account or 'not recorded'})"
