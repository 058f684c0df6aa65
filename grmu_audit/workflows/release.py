"""Use cases at the end of the line: gate, promote, roll back, verify, history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.auditing import audit_files
from grmu_audit.policy import judgement
from grmu_audit.records import Audit
from grmu_audit.workflows.session import Session

if TYPE_CHECKING:
    from grmu_audit.policy import Policy
    from grmu_audit.tracking import Demands, Finding
    from grmu_audit.tracking.promotion import Promotion


def gate(session: Session, model: str, policy: Policy, today: date | None = None) -> Audit:
    """Judge the stored audit of a version by a policy; nothing is measured and nothing is written.

    Raises:
        InconclusiveError: the version was never audited.
        IntegrityError: the stored audit, its index, or the version's files were changed.
    """
    from grmu_audit.tracking.audits import read_evidence

    evidence = read_evidence(session.store, session.store.resolve(model))
    audit_files.require_not_expired(evidence.audit)
    return judgement.judge(evidence.audit, policy, today)


@dataclass(frozen=True)
class Asked:
    """What the operator asks beyond a PASS, as given on the command line."""

    policy: Policy | None = None
    """The only policy whose verdict counts."""
    sign_off: bool = False
    """Whether two persons must have signed off."""
    public_keys: tuple[Path, ...] = ()
    """Trusted public key files; none: those of ``$GRMU_AUDIT_PUBLIC_KEYS``."""

    def demands(self) -> Demands:
        """The same, read and ready to check.

        Raises:
            NotFoundError, InputError: a key file that cannot be used.
        """
        from grmu_audit.evidence.signing import configured_public_keys, load_public_key
        from grmu_audit.policy import policy_sha256
        from grmu_audit.tracking import Demands

        keys = [load_public_key(path) for path in self.public_keys] or configured_public_keys()
        return Demands(policy_sha256(self.policy) if self.policy else None, self.sign_off, tuple(keys))


NOTHING_MORE = Asked()
"""A PASS is enough."""


def promote(session: Session, model: str, reason: str = "", ci_url: str | None = None, asked: Asked = NOTHING_MORE) -> Promotion:
    """Make a version the champion, if its newest audit says PASS, its files are the audited ones, and what is asked holds.

    Raises:
        BreachError, InconclusiveError: there is no PASS.
        IntegrityError: something stored is not what was recorded, or another promotion won the turn.
    """
    from grmu_audit.tracking.promotion import Actor
    from grmu_audit.tracking.promotion import promote as move

    return move(session.store, model, Actor(session.actor, reason, ci_url), demands=asked.demands())


def resume(session: Session, name: str) -> Promotion | None:
    """Finish the promotion that a crash left open; None when there is none."""
    from grmu_audit.tracking.promotion import Actor
    from grmu_audit.tracking.promotion import resume as finish

    return finish(session.store, name, Actor(session.actor))


def rollback(session: Session, name: str, reason: str, to: str | None = None, asked: Asked = NOTHING_MORE) -> Promotion:
    """Make an earlier champion the champion again.

    Raises:
        InputError: no reason, or no earlier champion.
        BreachError, InconclusiveError, IntegrityError: as for ``promote``.
    """
    from grmu_audit.tracking.promotion import Actor
    from grmu_audit.tracking.promotion import rollback as back

    return back(session.store, f"{name}/{to}" if to else name, Actor(session.actor, reason), demands=asked.demands())


def verify(session: Session, name: str, asked: Asked = NOTHING_MORE) -> list[Finding]:
    """What is not as it must be: ledger, alias, open turns, evidence of every audited version; empty when all is well."""
    from grmu_audit.tracking import verify as look

    return look(session.store, name, demands=asked.demands())


def sign_off(session: Session, model: str, role: str, note: str = "") -> int:
    """Put the actor's name under the newest audit of a version; signed with the configured key, if there is one.

    Returns:
        Number of the ledger entry.

    Raises:
        InputError: the role is taken, or preparer and reviewer would be one person.
        InconclusiveError, IntegrityError: there is no audit to sign off, or it was changed.
    """
    from grmu_audit.evidence.signing import configured_signer
    from grmu_audit.tracking import sign_off as sign

    ref = session.store.resolve(model)
    return sign(session.store, ref, role=role, person=session.actor, note=note, signer=configured_signer()).number


def history(session: Session, name: str) -> list[dict[str, object]]:
    """Ledger entries of a model, oldest first, as plain fields."""
    from dataclasses import asdict

    from grmu_audit.tracking.ledger import read_ledger

    entries = read_ledger(session.store, name).entries
    return [{"number": n.number, **asdict(n.entry), "sha256": n.sha256} for n in entries]
