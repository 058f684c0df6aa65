"""The plan of a purge, which two people may sign, and every reason why it may not begin."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.errors import InconclusiveError, InputError
from grmu_audit.evidence.attestation import SIGN_OFF, statement
from grmu_audit.evidence.ledger import Author, Ledger
from grmu_audit.evidence.purges import purge_state
from grmu_audit.evidence.sign_offs import SIGN_OFF_ROLES, refuse_conflict, require_two_people
from grmu_audit.evidence.signing import configured_signer, sign_envelope
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.ledger import append_entry
from grmu_audit.tracking.names import CHAMPION, PURGE
from grmu_audit.tracking.promotion import alias_moved, unfinished_promotion
from grmu_audit.tracking.requests import CacheFolder, Lineages, PurgeRecord, plan_sign_offs, unfinished_purge
from grmu_audit.tracking.requirements import sign_off_asked
from grmu_audit.utils.clock import timestamp
from grmu_audit.workflows.purges.holders import BLOCKS, Holder, Holders
from grmu_audit.workflows.purges.holds import require_no_hold
from grmu_audit.workflows.purges.selection import select
from grmu_audit.workflows.session import Session

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


@dataclass(frozen=True)
class PurgePlan:
    """What a purge will delete, and what it will keep."""

    holders: Holders
    """What holds the rows."""
    listed: tuple[Holder, ...]
    """The same in words."""
    record: PurgeRecord
    """Files with their digests; without the tables that stay."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to delete."""
        return not (self.record.files or self.holders.folders)


def plan_purge(session: Session, name: str, request: str | None, forget: Path | None, *, descendants: bool = False) -> PurgePlan:
    """The plan; nothing is changed.

    Args:
        session: store, key, folders.
        name: registered model.
        request: id of a request, or its digest.
        forget: a forget list, in place of a request.
        descendants: also purge versions that were derived from trained ones without the rows.

    Raises:
        InputError, NotFoundError, ForgetListError: see ``select``.
        IntegrityError: the ledger or a record is damaged.
    """
    selection = select(session, name, request, forget)
    holders = Holders(session, selection, descendants)
    digests = {run: {path: session.store.file_sha256(run, path) for path in paths} for run, paths in holders.files.items()}
    deleted = {ref.version: ref.manifest_sha256 or "" for ref in holders.versions if str(ref.run_id) in digests}
    rewritten = dict.fromkeys(holders.rewritten, "")
    folders = tuple(CacheFolder(label, str(place), platform.node()) for label, (place, _) in holders.folders.items())
    record = PurgeRecord(name, {**rewritten, **deleted}, digests, selection.sha256, selection.request, folders=folders)
    return PurgePlan(holders, tuple(holders.listed()), record)


def require_permitted(session: Session, plan: PurgePlan) -> None:
    """Return when a purge may begin.

    Raises:
        InputError: a legal hold, or an alias or another model that depends on a version that would go; nothing to delete.
        InconclusiveError: no champion serves the request yet.
        IntegrityError: a promotion or another purge is open, or the champion's alias was moved by hand.
    """
    ledger, name = plan.holders.ledger, plan.record.model
    require_no_hold(ledger)
    require_idle(session, ledger)
    blocking = [f"{one.name} {one.holds} ({one.why})" for one in plan.listed if one.action == BLOCKS]
    if blocking:
        raise InputError(f"what would be purged is still in use: {'; '.join(blocking)}; nothing was deleted")
    champion = ledger.state.champion
    if champion is None:
        raise InconclusiveError(f"{name} has no champion that was created without the rows: promote one first")
    lineages = Lineages(session.store)
    ref = lineages.version(f"{name}/{champion}")
    trained = {one.version for one in plan.holders.trained.on_rows}
    left_out = lineages.left_out(ref) | lineages.withheld(ref) if ref is not None else frozenset()
    if champion in trained or not left_out & plan.holders.selection.rows:
        raise InconclusiveError(
            f"the champion {name}/{champion} was not created without these rows: serve the request, and promote that version"
        )
    if plan.empty:
        raise InputError(f"nothing of {plan.holders.selection.title} is left to purge here; see what is open")


def require_idle(session: Session, ledger: Ledger) -> None:
    """Return when neither a promotion nor a purge of the model is open, and the champion's alias is where the ledger says.

    Raises:
        IntegrityError: it is not so.
    """
    state, purges = ledger.state, purge_state(ledger)
    if purges.open is not None:
        raise unfinished_purge(ledger.model, purges.open)
    if state.open is not None:
        raise unfinished_promotion(ledger.model, state.open)
    alias = session.store.aliases(ledger.model).get(CHAMPION)
    if alias != state.champion:
        raise alias_moved(ledger.model, alias, state.champion)


def sign_plan(session: Session, plan: PurgePlan, role: str, note: str = "") -> int:
    """Sign a plan off in the actor's name; returns the number of the ledger entry.

    Raises:
        InputError: another role, no name, a role that is taken, or the person, account or key that holds the other role.
    """
    author = Author(session.actor, configured_signer())
    if role not in SIGN_OFF_ROLES:
        raise InputError(f"role {role!r} is not one of {', '.join(SIGN_OFF_ROLES)}")
    if not author.name.strip() or author.name == "unknown":
        raise InputError("a sign-off needs the name of a person: give --actor")
    ledger, digest, time = read_ledger(session.store, plan.record.model), plan.record.plan_sha256, timestamp(author.now)
    said = {"role": role, "person": author.name, "time": time, "note": note, "account": session.store.account}
    payload = statement(SIGN_OFF, {PURGE: digest}, said)
    entry = ledger.new_entry(
        "sign-off", record_sha256=digest, request=plan.record.request or None, role=role, actor=author.name,
        account=session.store.account, time=time, reason=note, envelope=sign_envelope(payload, author.signer).decode(),
    )  # fmt: skip
    refuse_conflict(plan_sign_offs(ledger, digest), entry, f"the purge of {plan.record.model}")
    return append_entry(session.store, entry, session.store.versions(plan.record.model)[-1]).number


def _sign_off_command(plan: PurgePlan, role: str) -> str:
    """The command line with which the missing person signs; FILE is the list that the plan was made from."""
    record = plan.record
    what = f"{shlex.quote(record.request)} --model {record.model}" if record.request else f"--model {record.model} --forget FILE"
    more = " --descendants" if plan.holders.descendants else ""
    return f"grmu-audit --actor NAME requests purge {what}{more} --sign-off {role}"


def require_sign_offs(session: Session, plan: PurgePlan, keys: Sequence[SSlibKey] = (), *, asked: bool = False) -> bool:
    """Return when a preparer and a reviewer, two people, have signed exactly this plan, or nobody asks for it.

    Args:
        session: store.
        plan: the plan.
        keys: trusted public keys of their signatures.
        asked: whether the caller asks for it; promotions and policies of champions do, too (``sign_off_asked``).

    Returns:
        Whether somebody asks.

    Raises:
        InconclusiveError: a sign-off is missing, as when the plan has changed since; the message names the next command.
        IntegrityError: both are the same person, key or account, or a statement is about another plan.
    """
    ledger, digest = plan.holders.ledger, plan.record.plan_sha256
    why = "--require-sign-off" if asked else sign_off_asked(session.store, ledger)
    if not why:
        return False
    found = plan_sign_offs(ledger, digest)
    for role in SIGN_OFF_ROLES[:2]:
        if role not in found:
            raise InconclusiveError(
                f"the plan {digest[:16]}... was not signed off by a {role} ({why}); nothing was deleted: run"
                f" '{_sign_off_command(plan, role)}' as that person"
            )
    require_two_people(found, f"the purge of {ledger.model}", keys)
    return True
