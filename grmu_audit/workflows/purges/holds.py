"""Legal holds: while one is active, nothing of the model is purged."""

from __future__ import annotations

from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.evidence.ledger import Ledger
from grmu_audit.evidence.purges import WHOLE_MODEL, active_holds, purge_state
from grmu_audit.tracking import read_ledger, require_model
from grmu_audit.tracking.ledger import append_entry
from grmu_audit.tracking.requests import unfinished_purge
from grmu_audit.utils.clock import timestamp
from grmu_audit.workflows.session import Session


def hold(session: Session, name: str, request: str | None, reason: str) -> int:
    """Enter a legal hold of a model, because of a request or as a whole; returns the number of the entry.

    Raises:
        InputError: there is no reason, or the same hold is active.
        NotFoundError: no such model.
        IntegrityError: a purge has begun and not ended, so that a hold comes too late for what it deletes.
    """
    newest, ledger = require_model(session.store, name)[-1], read_ledger(session.store, name)
    if not reason.strip():
        raise InputError("--reason: say why nothing may be deleted; the ledger keeps it")
    found = active_holds(ledger).get(request or WHOLE_MODEL)
    if found is not None:
        raise InputError(f"{name} is held already by {found.actor} since {found.time}: {found.reason}")
    if (begun := purge_state(ledger).open) is not None:
        raise unfinished_purge(name, begun)
    entry = ledger.new_entry("hold", request=request, reason=reason, actor=session.actor, time=timestamp())
    held = append_entry(session.store, entry, newest)
    begun = purge_state(read_ledger(session.store, name)).open
    if begun is not None and begun.number < held.number:  # a purge that was entered meanwhile has not seen this hold
        raise unfinished_purge(name, begun)
    return held.number


def release(session: Session, name: str, request: str | None, reason: str) -> int:
    """Enter that a legal hold has ended; returns the entry's number.

    Raises:
        InputError: there is no reason.
        NotFoundError: no such model, or no such hold is active.
    """
    newest, ledger = require_model(session.store, name)[-1], read_ledger(session.store, name)
    if not reason.strip():
        raise InputError("--reason: say why the hold ends; the ledger keeps it")
    holds = active_holds(ledger)
    if (request or WHOLE_MODEL) not in holds:
        listed = ", ".join("the whole model" if one == WHOLE_MODEL else one for one in holds) or "none"
        raise NotFoundError(f"no hold on {request or 'the whole of ' + name} is active; active: {listed}")
    entry = ledger.new_entry("release", request=request, reason=reason, actor=session.actor, time=timestamp())
    return append_entry(session.store, entry, newest).number


def require_no_hold(ledger: Ledger) -> None:
    """Return when nothing forbids a purge.

    A version is trained on the rows of many people, so that the hold of one request keeps what a purge for another would delete.

    Raises:
        InputError: holds are active; each is named with its reason.
    """
    holds = active_holds(ledger)
    if holds:
        told = "; ".join(
            f"{'the model' if about == WHOLE_MODEL else about} by {entry.actor} since {entry.time[:10]}: {entry.reason}"
            for about, entry in holds.items()
        )
        raise InputError(f"{ledger.model} is under legal hold, nothing is purged ({told}); see 'requests release'")
