"""Use cases at the end of the line: gate, promote, roll back, verify, history."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from grmu_audit.api import judge
from grmu_audit.api.session import Session
from grmu_audit.records import Audit

if TYPE_CHECKING:
    from grmu_audit.policy import Policy
    from grmu_audit.tracking import Finding
    from grmu_audit.tracking.promotion import Promotion


def gate(session: Session, model: str, policy: Policy, today: date | None = None) -> Audit:
    """Judge the stored audit of a version by a policy; nothing is measured and nothing is written.

    Raises:
        InconclusiveError: the version was never audited.
        IntegrityError: the stored audit, its index, or the version's files were changed.
    """
    from grmu_audit.tracking.audits import read_evidence

    evidence = read_evidence(session.store, session.store.resolve(model))
    return judge.judge(evidence.audit, policy, today)


def promote(session: Session, model: str, reason: str = "", ci_url: str | None = None) -> Promotion:
    """Make a version the champion, if its newest audit says PASS and its files are the audited ones.

    Raises:
        BreachError, InconclusiveError: there is no PASS.
        IntegrityError: something stored is not what was recorded, or another promotion won the turn.
    """
    from grmu_audit.tracking.promotion import Actor
    from grmu_audit.tracking.promotion import promote as move

    return move(session.store, model, Actor(session.actor, reason, ci_url))


def resume(session: Session, name: str) -> Promotion | None:
    """Finish the promotion that a crash left open; None when there is none."""
    from grmu_audit.tracking.promotion import Actor
    from grmu_audit.tracking.promotion import resume as finish

    return finish(session.store, name, Actor(session.actor))


def rollback(session: Session, name: str, reason: str, to: str | None = None) -> Promotion:
    """Make an earlier champion the champion again.

    Raises:
        InputError: no reason, or no earlier champion.
        BreachError, InconclusiveError, IntegrityError: as for ``promote``.
    """
    from grmu_audit.tracking.promotion import Actor
    from grmu_audit.tracking.promotion import rollback as back

    return back(session.store, f"{name}/{to}" if to else name, Actor(session.actor, reason))


def verify(session: Session, name: str) -> list[Finding]:
    """What is not as it must be: ledger, alias, open turns, the champion's evidence; empty when all is well."""
    from grmu_audit.tracking import verify as look

    return look(session.store, name)


def history(session: Session, name: str) -> list[dict[str, object]]:
    """Ledger entries of a model, oldest first, as plain fields."""
    from dataclasses import asdict

    from grmu_audit.tracking.ledger import read_ledger

    entries = read_ledger(session.store, name).entries
    return [{"number": n.number, **asdict(n.entry), "sha256": n.sha256} for n in entries]
