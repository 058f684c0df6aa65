"""Moving the champion: promote, rollback, resume after a crash; one promotion at a time, only on a PASS.

Limit: anyone who may edit the model or the database can move the alias by hand.  ``verify`` detects it afterwards.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import datetime

from grmu_audit.errors import (
    BreachError,
    EnvironmentFailure,
    GrmuAuditError,
    InconclusiveError,
    InputError,
    IntegrityError,
    NotFoundError,
)
from grmu_audit.evidence.ledger import Ledger, LedgerEntry
from grmu_audit.evidence.purges import require_not_purged
from grmu_audit.records import ModelRef
from grmu_audit.tracking import names
from grmu_audit.tracking.audits import Evidence
from grmu_audit.tracking.ledger import append_entry, read_ledger
from grmu_audit.tracking.pages import append_with_page
from grmu_audit.tracking.requests import Lineages, requests_to_reopen
from grmu_audit.tracking.requirements import NO_REQUIREMENTS, Requirements
from grmu_audit.tracking.store import Store
from grmu_audit.utils.clock import timestamp


def unfinished_promotion(name: str, step: LedgerEntry) -> IntegrityError:
    """A promotion step is open."""
    entry = step.entry
    return IntegrityError(
        f"{entry.kind} of {name}/{entry.version} (ledger entry {step.number}, {entry.actor}, {entry.time}) has begun and not"
        f" ended: wait for it, or if it crashed run 'grmu-audit promote --model {name} --resume'"
    )


def alias_moved(name: str, alias: str | None, champion: str | None) -> IntegrityError:
    """The alias is not where the ledger says."""
    return IntegrityError(
        f"the alias {names.CHAMPION!r} of {name} points at {_shown(name, alias)}, the ledger says {_shown(name, champion)}: it"
        " was moved by hand; put it back, then promote"
    )


def _shown(name: str, version: str | None) -> str:
    return f"{name}/{version}" if version is not None else "nothing"


def promotion_lost(name: str) -> IntegrityError:
    """Another promotion took effect first."""
    return IntegrityError(
        f"another promotion of {name} came first: nothing was changed; look at 'grmu-audit history --model {name}', then try"
        " again"
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
    reopen: tuple[str, ...] = ()
    """Served requests that the version may lack and that become open again: by request id or digest; they need a reason."""


@dataclass(frozen=True)
class Promotion:
    """Result of a promotion or rollback."""

    ref: ModelRef
    """The champion now."""
    before: str | None
    """Version that was champion before; None for none."""
    entry: int
    """Number of the ledger entry of the move; 0 when nothing had to move."""
    changed: bool
    """False when the version was champion already."""


def promote(
    store: Store,
    reference: str | ModelRef,
    actor: Actor = Actor(),
    *,
    now: datetime | None = None,
    requirements: Requirements = NO_REQUIREMENTS,
) -> Promotion:
    """Make a version the champion: only on an unexpired PASS, and without the rows of every request that was served.

    Args:
        store: the tracking store.
        reference: what to promote; resolved once.
        actor: who, and why.
        now: the time to judge expiry by; the clock when not given.
        requirements: what must hold beyond a PASS.

    Returns:
        What happened; a version that is champion already stays champion, without a new entry.

    Raises:
        InputError: a request that is to be opened again is not lacking, or there is no reason.
        BreachError: the policy is breached.
        InconclusiveError: not audited, not judged or not decided.
        IntegrityError: a served request is lacking, something was changed, has expired, or another promotion is open; nothing
            was changed then.
        EnvironmentFailure: the store cannot be reached; ``resume`` finishes what was begun.
    """
    ref = store.resolve(reference) if isinstance(reference, str) else reference
    ledger = _no_open_promotion(store, ref.name)
    actor = _with_digests(store, ledger, ref, actor)
    evidence = _passed(store, ledger, ref, actor, now, requirements)
    if ledger.state.champion == ref.version:
        return Promotion(ref, ref.version, 0, changed=False)
    return _move(store, ledger, _Step("promote", evidence, actor, requirements, now))


def rollback(
    store: Store,
    reference: str | ModelRef,
    actor: Actor,
    *,
    now: datetime | None = None,
    requirements: Requirements = NO_REQUIREMENTS,
) -> Promotion:
    """Restore an earlier champion: a promotion of it, with a reason.

    Args:
        store: the tracking store.
        reference: a version that was champion before, or the model's bare name for the last one before the present.
        actor: who, and why; the reason must not be empty.
        now: the time to judge expiry by; the clock when not given.
        requirements: what must hold beyond a PASS.

    Raises:
        InputError: no reason, or the version was never champion.
        NotFoundError: there is no earlier champion.
        BreachError, InconclusiveError, IntegrityError, EnvironmentFailure: as for ``promote``.
    """
    if not actor.reason.strip():
        raise InputError("a rollback needs a reason: give --reason")
    ref = store.resolve(reference) if isinstance(reference, str) else reference
    ledger = _no_open_promotion(store, ref.name)
    earlier = earlier_champions(ledger)
    if isinstance(reference, str) and reference == ref.name:
        if not earlier:
            raise NotFoundError(f"{ref.name} has no earlier champion to roll back to")
        ref = store.resolve(f"{ref.name}/{earlier[-1]}")
    if ref.version not in earlier:
        known = ", ".join(earlier) or "none"
        raise InputError(
            f"{ref.label} is not an earlier champion (those are: {known}): use 'promote' for a version that never was one"
        )
    actor = _with_digests(store, ledger, ref, actor)
    evidence = _passed(store, ledger, ref, actor, now, requirements)
    return _move(store, ledger, _Step("rollback", evidence, actor, requirements, now))


def resume(
    store: Store,
    name: str,
    actor: Actor = Actor(),
    *,
    now: datetime | None = None,
    requirements: Requirements = NO_REQUIREMENTS,
) -> Promotion | None:
    """Finish the promotion that a crash left open; doing it twice, or at the same time as another, is harmless.

    What was required when it began is required again, with what is required now.

    Returns:
        What happened, or None when no promotion is open.

    Raises:
        BreachError, InconclusiveError, IntegrityError: the requirements are no longer met, or the version was deleted; the
            promotion is then abandoned and the champion is the one before.  IntegrityError also when the alias was moved by hand.
        InputError: it was begun with another policy than the one given, or with public keys none of which is given; or a policy
            that the operator listed cannot be read (IntegrityError where it is pinned to another digest).  It stays open.
        EnvironmentFailure: the store cannot be reached; resume again.
    """
    ledger = read_ledger(store, name)
    step = ledger.state.open
    if step is None:
        return None
    try:
        ref = store.resolve(f"{name}/{step.entry.version}")
    except NotFoundError:
        gone = IntegrityError(f"{name}/{step.entry.version} was deleted from the registry; its promotion is abandoned")
        _abandon(store, step, store.versions(name)[-1], gone, actor, now)
        raise gone from None
    joined = requirements.joined(step.entry)
    joined.require_readable()  # a mistake in what is stated now is no fault of the evidence, and abandons nothing
    try:
        evidence = joined.check(store, ledger, ref, now, step.entry.reopened or ())
        if evidence.sha256 != step.entry.audit_sha256:
            raise IntegrityError(f"{ref.label} was audited again since the promotion began: abandon it and promote again")
    except (BreachError, InconclusiveError, IntegrityError) as error:
        _abandon(store, step, ref, error, actor, now)
        raise
    return _finish(store, step, ref, actor, now)


def restore_alias(store: Store, name: str, actor: Actor) -> int:
    """Put the champion's alias back where the ledger says, after it was moved by hand; returns the number of the ledger entry.

    This is no promotion: the champion does not change.  The entry is written first, so that no move is without one; the alias is
    read before the ledger, so that a promotion that ends in between does not count as a move by hand.

    Raises:
        IntegrityError: a promotion is open or came first, or the ledger is damaged; the alias is where it was.
        InputError: the alias is where the ledger says.
    """
    found = store.aliases(name).get(names.CHAMPION)
    ledger = read_ledger(store, name)
    state = ledger.state
    if state.open is not None:
        raise unfinished_promotion(name, state.open)
    if found == state.champion:
        raise InputError(f"the alias {names.CHAMPION!r} of {name} is at the version that the ledger names: nothing to restore")
    entry = ledger.new_entry("restored", version=state.champion, champion_before=found, **_who(actor, None))
    number = append_entry(store, entry, store.versions(name)[-1]).number
    if (now := store.aliases(name).get(names.CHAMPION)) != found:
        raise alias_moved(name, now, state.champion)
    after = read_ledger(store, name).state
    if after.open is not None or after.champion != state.champion:
        raise promotion_lost(name)
    _point_alias(store, name, state.champion)
    return number


def _point_alias(store: Store, name: str, version: str | None) -> None:
    if version is None:
        store.delete_alias(name, names.CHAMPION)
    else:
        store.set_alias(name, names.CHAMPION, version)


def earlier_champions(ledger: Ledger) -> list[str]:
    """Versions that were champion before the present one, oldest first; the last is where a rollback leads."""
    state = ledger.state
    line = [n.entry.version for n in ledger.entries if n.number in state.ended and n.entry.version is not None]
    seen = list(dict.fromkeys(reversed(line)))
    return [version for version in reversed(seen) if version != state.champion]


def _no_open_promotion(store: Store, name: str) -> Ledger:
    ledger = read_ledger(store, name)
    state = ledger.state
    if state.open is not None:
        raise unfinished_promotion(name, state.open)
    alias = store.aliases(name).get(names.CHAMPION)
    if alias != state.champion:
        if read_ledger(store, name).last != ledger.last:
            raise promotion_lost(name)
        raise alias_moved(name, alias, state.champion)
    return ledger


def _passed(
    store: Store, ledger: Ledger, ref: ModelRef, actor: Actor, now: datetime | None, requirements: Requirements
) -> Evidence:
    try:
        return requirements.check(store, ledger, ref, now, actor.reopen)
    except (BreachError, InconclusiveError, IntegrityError) as error:
        refusal = ledger.new_entry("refusal", version=ref.version, reason=str(error)[:2000], **_who(actor, now, reason=False))
        with contextlib.suppress(EnvironmentFailure):
            append_entry(store, refusal, ref)
        raise


def _with_digests(store: Store, ledger: Ledger, ref: ModelRef, actor: Actor) -> Actor:
    """The actor with the digests of the requests that are to be opened again."""
    if actor.reopen and not actor.reason.strip():
        raise InputError("a request is opened again only for a reason: give --reason")
    return replace(actor, reopen=requests_to_reopen(Lineages(store), ledger, ref, actor.reopen)) if actor.reopen else actor


def _who(actor: Actor, now: datetime | None, *, reason: bool = True) -> dict[str, str | None]:
    said = {"reason": actor.reason} if reason else {}
    return {"actor": actor.name, "ci_url": actor.ci_url, "time": timestamp(now), **said}


@dataclass(frozen=True)
class _Step:
    """A promotion or rollback that is about to begin."""

    kind: str
    evidence: Evidence
    actor: Actor
    requirements: Requirements
    now: datetime | None


def _move(store: Store, ledger: Ledger, begun: _Step) -> Promotion:
    evidence, actor, now = begun.evidence, begun.actor, begun.now
    ref, verdict = evidence.ref, evidence.audit.verdict
    entry = ledger.new_entry(
        begun.kind,
        version=ref.version,
        champion_before=ledger.state.champion,
        audit_run=evidence.run_id,
        audit_sha256=evidence.sha256,
        policy_sha256=verdict.policy_sha256 if verdict else None,
        manifest_sha256=ref.manifest_sha256,
        decision=verdict.decision.value if verdict else None,
        served=Lineages(store).listed(ref),
        reopened=list(actor.reopen) or None,
        without_forgetting_claim=begun.requirements.without_forgetting_claim or None,
        required=begun.requirements.recorded(),
        **_who(actor, now),
    )
    step = append_entry(store, entry, ref)
    after = read_ledger(store, ref.name)
    if step.sha256 not in after.state.owners:
        raise promotion_lost(ref.name)
    try:  # a purge that began since the check; one that begins later sees this promotion
        require_not_purged(after, [ref.version])
    except InconclusiveError as error:
        _abandon(store, step, ref, error, actor, now)
        raise
    return _finish(store, step, ref, actor, now)


def _finish(store: Store, step: LedgerEntry, ref: ModelRef, actor: Actor, now: datetime | None) -> Promotion:
    """Move the alias and end the promotion step; each part may have been done already."""
    result = Promotion(ref, step.entry.champion_before, step.number, changed=True)
    alias = store.aliases(ref.name).get(names.CHAMPION)
    ledger = read_ledger(store, ref.name)
    state = ledger.state
    if state.open is None or state.open.sha256 != step.sha256:
        if step.number in state.ended:
            return result
        raise promotion_lost(ref.name)
    if alias not in (ref.version, step.entry.champion_before):
        raise alias_moved(ref.name, alias, step.entry.champion_before)
    if alias != ref.version:
        store.set_alias(ref.name, names.CHAMPION, ref.version)
    found = store.aliases(ref.name).get(names.CHAMPION)
    if found != ref.version:
        raise alias_moved(ref.name, found, ref.version)
    ended = ledger.new_entry("done", version=ref.version, turn=step.number, **_who(actor, now))
    append_with_page(store, ledger, ended, ref)
    if step.number not in read_ledger(store, ref.name).state.ended:  # another process abandoned it just before
        raise promotion_lost(ref.name)
    return result


def _abandon(store: Store, step: LedgerEntry, ref: ModelRef, error: GrmuAuditError, actor: Actor, now: datetime | None) -> None:
    """Put the alias back where it was before the promotion step, and end the step without a new champion.

    The entry is written on ``ref``: the version, or another of the model where the version was deleted, with its aliases.
    """
    if store.aliases(ref.name).get(names.CHAMPION) in (step.entry.version, None):
        _point_alias(store, ref.name, step.entry.champion_before)
    ledger = read_ledger(store, ref.name)
    entry = ledger.new_entry(
        "abandoned", version=step.entry.version, turn=step.number, reason=str(error)[:2000], **_who(actor, now, reason=False)
    )
    append_with_page(store, ledger, entry, ref)
