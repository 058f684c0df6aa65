"""Moving the champion: promote, rollback, resume after a crash; one turn at a time, only on a PASS.

Honest limit: whoever may edit the model or the database can move the alias without asking.  ``verify`` then finds it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from grmu_audit.errors import (
    BreachError,
    EnvironmentFailure,
    GrmuAuditError,
    InconclusiveError,
    InputError,
    IntegrityError,
    NotFoundError,
)
from grmu_audit.evidence.ledger import Ledger, Numbered
from grmu_audit.records import ModelRef
from grmu_audit.tracking import ledger, names
from grmu_audit.tracking.audits import Evidence, read_evidence, require_pass
from grmu_audit.tracking.requirements import NOTHING_MORE, Demands
from grmu_audit.utils.clock import timestamp

if TYPE_CHECKING:
    from grmu_audit.tracking.store import Store


def unfinished(name: str, turn: Numbered) -> IntegrityError:
    """A turn is open."""
    entry = turn.entry
    return IntegrityError(
        f"{entry.kind} of {name}/{entry.version} (ledger entry {turn.number}, {entry.actor}, {entry.time}) has begun and not"
        f" ended: wait for it, or if it crashed run 'grmu-audit promote --resume {name}'"
    )


def moved_by_hand(name: str, alias: str | None, champion: str | None) -> IntegrityError:
    """The alias is not where the ledger says."""
    return IntegrityError(
        f"the alias {names.CHAMPION!r} of {name} points at {_shown(name, alias)}, the ledger says {_shown(name, champion)}: it"
        " was moved by hand; put it back, then promote"
    )


def _shown(name: str, version: str | None) -> str:
    return f"{name}/{version}" if version is not None else "nothing"


def lost(name: str) -> IntegrityError:
    """Another process has, or had, the turn."""
    return IntegrityError(
        f"another promotion of {name} took the turn: nothing was changed; look at 'grmu-audit history {name}', then try again"
    )


@dataclass(frozen=True)
class Actor:
    """Who acts, and why."""

    name: str = "unknown"
    """Account or person; given by the caller, never guessed here."""
    reason: str = ""
    """Why, in the actor's words."""
    ci_url: str | None = None
    """The CI run, where there is one."""


@dataclass(frozen=True)
class Promotion:
    """What a promotion or rollback did."""

    ref: ModelRef
    """The champion now."""
    before: str | None
    """Version that was champion before; None for none."""
    entry: int
    """Number of the ledger entry that owns the move; 0 when nothing had to move."""
    changed: bool
    """False when the version was champion already."""


def promote(
    store: Store,
    reference: str | ModelRef,
    actor: Actor = Actor(),
    *,
    now: datetime | None = None,
    demands: Demands = NOTHING_MORE,
) -> Promotion:
    """Make a version the champion: only on an unexpired PASS whose files and document are still those of the audit.

    Args:
        store: the tracking store.
        reference: what to promote; resolved once.
        actor: who, and why.
        now: the time to judge expiry by; the clock when not given.
        demands: what is asked beyond a PASS.

    Returns:
        What happened; a version that is champion already stays it, without a new entry.

    Raises:
        BreachError: the policy is breached.
        InconclusiveError: not audited, not judged or not decided.
        IntegrityError: something was changed, has expired, or another promotion has the turn; nothing was changed then.
        EnvironmentFailure: the store cannot be reached; ``resume`` finishes what was begun.
    """
    ref = store.resolve(reference) if isinstance(reference, str) else reference
    book = _at_rest(store, ref.name)
    evidence = _passed(store, book, ref, actor, now, demands)
    if book.state.champion == ref.version:
        return Promotion(ref, ref.version, 0, changed=False)
    return _move(store, book, "promote", evidence, actor, now)


def rollback(
    store: Store,
    reference: str | ModelRef,
    actor: Actor,
    *,
    now: datetime | None = None,
    demands: Demands = NOTHING_MORE,
) -> Promotion:
    """Make an earlier champion the champion again: a promotion of it, with a reason.

    Args:
        store: the tracking store.
        reference: a version that was champion before, or the model's bare name for the last one before the present.
        actor: who, and why; the reason must not be empty.
        now: the time to judge expiry by; the clock when not given.
        demands: what is asked beyond a PASS.

    Raises:
        InputError: no reason, or the version was never champion.
        NotFoundError: there is no earlier champion.
        BreachError, InconclusiveError, IntegrityError, EnvironmentFailure: as for ``promote``.
    """
    if not actor.reason.strip():
        raise InputError("a rollback needs a reason: give --reason")
    ref = store.resolve(reference) if isinstance(reference, str) else reference
    book = _at_rest(store, ref.name)
    earlier = earlier_champions(book)
    if isinstance(reference, str) and reference == ref.name:
        if not earlier:
            raise NotFoundError(f"{ref.name} has no earlier champion to roll back to")
        ref = store.resolve(f"{ref.name}/{earlier[-1]}")
    if ref.version not in earlier:
        known = ", ".join(earlier) or "none"
        raise InputError(
            f"{ref.label} is not an earlier champion (those are: {known}): use 'promote' for a version that never was one"
        )
    evidence = _passed(store, book, ref, actor, now, demands)
    return _move(store, book, "rollback", evidence, actor, now)


def resume(store: Store, name: str, actor: Actor = Actor(), *, now: datetime | None = None) -> Promotion | None:
    """Finish the turn that a crash left open; doing it twice, or at the same time as another, is harmless.

    Returns:
        What happened, or None when no turn is open.

    Raises:
        BreachError, InconclusiveError, IntegrityError: the evidence no longer holds; the turn is then abandoned and the
            champion is the one before.  IntegrityError also when the alias was moved by hand.
        EnvironmentFailure: the store cannot be reached; resume again.
    """
    book = ledger.read_ledger(store, name)
    turn = book.state.open
    if turn is None:
        return None
    ref = store.resolve(f"{name}/{turn.entry.version}")
    try:
        evidence = read_evidence(store, ref)
        if evidence.sha256 != turn.entry.audit_sha256:
            raise IntegrityError(f"{ref.label} was audited again since the turn began: abandon it and promote again")
        require_pass(evidence, now)
    except (BreachError, InconclusiveError, IntegrityError) as error:
        _abandon(store, turn, ref, error, actor, now)
        raise
    return _finish(store, turn, ref, actor, now)


def earlier_champions(book: Ledger) -> list[str]:
    """Versions that were champion before the present one, oldest first; the last is where a rollback leads."""
    state = book.state
    line = [n.entry.version for n in book.entries if n.number in state.ended and n.entry.version is not None]
    seen = list(dict.fromkeys(reversed(line)))
    return [version for version in reversed(seen) if version != state.champion]


def _at_rest(store: Store, name: str) -> Ledger:
    book = ledger.read_ledger(store, name)
    state = book.state
    if state.open is not None:
        raise unfinished(name, state.open)
    alias = store.aliases(name).get(names.CHAMPION)
    if alias != state.champion:
        if ledger.read_ledger(store, name).last != book.last:
            raise lost(name)
        raise moved_by_hand(name, alias, state.champion)
    return book


def _passed(store: Store, book: Ledger, ref: ModelRef, actor: Actor, now: datetime | None, demands: Demands) -> Evidence:
    try:
        evidence = read_evidence(store, ref)
        require_pass(evidence, now)
        demands.check(store, book, evidence)
    except (BreachError, InconclusiveError, IntegrityError) as error:
        refusal = book.note("refusal", version=ref.version, reason=str(error)[:2000], **_who(actor, now, reason=False))
        with contextlib.suppress(EnvironmentFailure):
            ledger.append(store, refusal, ref)
        raise
    return evidence


def _who(actor: Actor, now: datetime | None, *, reason: bool = True) -> dict[str, str | None]:
    said = {"reason": actor.reason} if reason else {}
    return {"actor": actor.name, "ci_url": actor.ci_url, "time": timestamp(now), **said}


def _move(store: Store, book: Ledger, kind: str, evidence: Evidence, actor: Actor, now: datetime | None) -> Promotion:
    ref, verdict = evidence.ref, evidence.audit.verdict
    wish = book.note(
        kind,
        version=ref.version,
        champion_before=book.state.champion,
        audit_run=evidence.run_id,
        audit_sha256=evidence.sha256,
        policy_sha256=verdict.policy_sha256 if verdict else None,
        manifest_sha256=ref.manifest_sha256,
        decision=verdict.decision.value if verdict else None,
        **_who(actor, now),
    )
    turn = ledger.append(store, wish, ref)
    state = ledger.read_ledger(store, ref.name).state
    if turn.sha256 not in state.owners:
        raise lost(ref.name)
    return _finish(store, turn, ref, actor, now)


def _finish(store: Store, turn: Numbered, ref: ModelRef, actor: Actor, now: datetime | None) -> Promotion:
    """Move the alias of an owned turn and end the turn; every step may have been done already."""
    result = Promotion(ref, turn.entry.champion_before, turn.number, changed=True)
    alias = store.aliases(ref.name).get(names.CHAMPION)
    book = ledger.read_ledger(store, ref.name)
    state = book.state
    if state.open is None or state.open.sha256 != turn.sha256:
        if turn.number in state.ended:
            return result
        raise lost(ref.name)
    if alias not in (ref.version, turn.entry.champion_before):
        raise moved_by_hand(ref.name, alias, turn.entry.champion_before)
    if alias != ref.version:
        store.set_alias(ref.name, names.CHAMPION, ref.version)
    found = store.aliases(ref.name).get(names.CHAMPION)
    if found != ref.version:
        raise moved_by_hand(ref.name, found, ref.version)
    ledger.append(store, book.note("done", version=ref.version, turn=turn.number, **_who(actor, now)), ref)
    return result


def _abandon(store: Store, turn: Numbered, ref: ModelRef, error: GrmuAuditError, actor: Actor, now: datetime | None) -> None:
    """Put the alias back where the turn found it, and end the turn without a new champion."""
    before = turn.entry.champion_before
    if store.aliases(ref.name).get(names.CHAMPION) == ref.version:
        if before is None:
            store.delete_alias(ref.name, names.CHAMPION)
        else:
            store.set_alias(ref.name, names.CHAMPION, before)
    book = ledger.read_ledger(store, ref.name)
    note = book.note(
        "abandoned", version=ref.version, turn=turn.number, reason=str(error)[:2000], **_who(actor, now, reason=False)
    )
    ledger.append(store, note, ref)
