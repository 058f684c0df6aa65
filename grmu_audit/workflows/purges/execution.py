"""Execution of a purge: entered in the ledger first, then repeatable after a crash, and ended when nothing is left."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import EnvironmentFailure, InputError, IntegrityError
from grmu_audit.evidence.ledger import Ledger, LedgerEntry
from grmu_audit.evidence.purges import active_holds, purge_state
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_ledger, require_model
from grmu_audit.tracking.ledger import append_entry
from grmu_audit.tracking.names import PURGE, TAG_PURGED
from grmu_audit.tracking.requests import PurgeRecord, files_left, kept_table, read_purge, require_signed_purge
from grmu_audit.tracking.requirements import sign_off_asked
from grmu_audit.utils import sha256_hex
from grmu_audit.utils.clock import timestamp
from grmu_audit.workflows.purges.holders import JOB_PARTS, OWN_ALIASES, Holders, require_jobs
from grmu_audit.workflows.purges.holds import require_no_hold
from grmu_audit.workflows.purges.kept import kept_tables, union_of
from grmu_audit.workflows.purges.plan import PurgePlan, require_permitted, require_sign_offs
from grmu_audit.workflows.purges.selection import Selection
from grmu_audit.workflows.session import Session

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


@dataclass(frozen=True)
class Purged:
    """A purge that ended."""

    versions: tuple[str, ...]
    """Labels of the versions whose files are gone."""
    files: int
    """Files that it names in the store."""
    folders: tuple[str, ...]
    """Caches of this machine that were deleted."""
    elsewhere: tuple[str, ...]
    """Caches of the machine that began it, where that is another: to be deleted there."""
    begun: int
    """Ledger entry with which it began."""
    ended: int
    """Ledger entry with which it ended."""


def purge(
    session: Session, plan: PurgePlan, reason: str = "", *, sign_off: bool = False, keys: Sequence[SSlibKey] = ()
) -> Purged:
    """Delete what a plan names.

    Args:
        session: store, key, folders.
        plan: as it was shown; it is refused where the store has changed since.
        reason: why, for the ledger.
        sign_off: whether two people must have signed the plan, also where no promotion and no champion's policy asks.
        keys: trusted public keys of their signatures.

    Raises:
        InputError, InconclusiveError, IntegrityError: it may not begin; nothing was deleted.
        EnvironmentFailure: the store cannot be reached or does not delete; ``resume_purge`` goes on.
    """
    require_permitted(session, plan)
    asked = require_sign_offs(session, plan, keys, asked=sign_off)
    step = _begin(session, plan, reason, {"sign_off": True, "keys": [key.keyid for key in keys]} if asked else None)
    return _finish(session, plan.record.model, step)


def resume_purge(session: Session, name: str, keys: Sequence[SSlibKey] = ()) -> Purged | None:
    """Finish the purge that was left open; None where none is.

    Args:
        session: store, caches and author.
        name: the model.
        keys: trusted public keys of the sign-offs, where two people were required.

    Raises:
        InputError: a legal hold began since.
        IntegrityError: the record of what to delete is gone or another one; two people were required, and had not signed; or a
            promotion of what it names came first, so that it is abandoned.
        EnvironmentFailure: the store cannot be reached or does not delete.
    """
    require_model(session.store, name)
    ledger = read_ledger(session.store, name)
    step = purge_state(ledger).open
    if step is None:
        return None
    if _names_champion(ledger, step):
        _abandon(session, ledger, step, "a promotion")
        raise _overtaken(name)
    require_no_hold(ledger)
    if not (step.entry.required or {}).get("sign_off") and (why := sign_off_asked(session.store, ledger, step.number)):
        raise IntegrityError(f"the purge of {name} was begun without the sign-offs of two people ({why}): nothing was deleted")
    require_signed_purge(ledger, step, read_purge(session.store, step.entry), keys)
    return _finish(session, name, step)


def _begin(session: Session, plan: PurgePlan, reason: str, required: Mapping[str, Any] | None = None) -> LedgerEntry:
    """Store the record and what stays, and enter the purge with what was required; from then on it is open until it ends.

    Raises:
        InputError: a legal hold came first; nothing was deleted.
        IntegrityError: another purge or promotion did; nothing was deleted.
    """
    holders, name = plan.holders, plan.record.model
    union = union_of(session, name, holders.selection.rows)
    refs = [ref for ref in holders.versions if ref.version in plan.record.versions]
    kept = kept_tables(session, name, refs, holders.rewritten, union)
    record = replace(plan.record, kept={version: sha256_hex(content) for version, content in kept.items()})
    content = record.to_bytes()
    with session.store.run(name, "purge") as run:
        for version, table in kept.items():
            run.log_bytes(table, kept_table(version))
        run.log_bytes(content, PURGE)
    ledger = read_ledger(session.store, name)
    if ledger.last != holders.ledger.last:
        raise IntegrityError(f"the ledger of {name} has new entries since the plan was made: nothing was deleted; plan again")
    entry = ledger.new_entry(
        "purge", run=run.id, record_sha256=sha256_hex(content), request=record.request or None, reason=reason,
        purged=sorted(record.versions, key=int), required=required, actor=session.actor, time=timestamp(),
    )  # fmt: skip
    step = append_entry(session.store, entry, _subject(session, name))
    after = read_ledger(session.store, name)
    opened = purge_state(after).open
    if opened is None or opened.sha256 != step.sha256:
        raise IntegrityError(f"another purge of {name} came first: nothing was deleted")
    moved = after.state.open is not None or after.state.champion != ledger.state.champion
    if (first := "a legal hold" if active_holds(after) else "a promotion" if moved else "") != "":
        _abandon(session, after, step, first)
        require_no_hold(after)
        raise _overtaken(name)
    return step


def _abandon(session: Session, ledger: Ledger, step: LedgerEntry, first: str) -> None:
    said = {"reason": f"{first} came first", "actor": session.actor, "time": timestamp()}
    append_entry(session.store, ledger.new_entry("abandoned", turn=step.number, **said), _subject(session, ledger.model))


def _overtaken(name: str) -> IntegrityError:
    return IntegrityError(f"a promotion of {name} came first: nothing was deleted; plan again")


def _names_champion(ledger: Ledger, step: LedgerEntry) -> bool:
    """Whether a purge names the champion, or a version whose promotion began before it: its process died before it saw that."""
    state, purged = ledger.state, step.entry.purged or ()
    begun = state.open is not None and state.open.number < step.number and state.open.entry.version in purged
    return begun or state.champion in purged


def _subject(session: Session, name: str) -> ModelRef:
    return session.store.versions(name)[-1]


def _finish(session: Session, name: str, step: LedgerEntry) -> Purged:
    """Delete the files, remove the tool's aliases, mark the versions, check that nothing is left, and end the purge."""
    record = read_purge(session.store, step.entry)
    for run, paths in record.files.items():
        session.store.remove_files(run, sorted(paths))
    folders, elsewhere = _remove_folders(session, record)
    versions = {ref.version: ref for ref in session.store.versions(name)}
    for alias, version in session.store.aliases(name).items():
        if version in record.versions and alias in OWN_ALIASES:
            session.store.delete_alias(name, alias)
    for version in record.versions:
        if version in versions:
            _mark(session, versions[version], step)
    if left := files_left(session.store, record):
        raise EnvironmentFailure(f"not deleted: {', '.join(left[:5])}; finish with 'requests purge --model {name} --resume'")
    ledger = read_ledger(session.store, name)
    state = purge_state(ledger)
    if state.open is None or state.open.sha256 != step.sha256:  # another process ended it
        return _result(record, folders, elsewhere, (step.number, ledger.last))
    entry = ledger.new_entry(
        "purged", turn=step.number, record_sha256=step.entry.record_sha256, actor=session.actor, time=timestamp(),
        reason=f"{sum(map(len, record.files.values()))} files of {len(record.versions)} versions, caches: "
        f"{', '.join(folders) or 'none'}{f'; not deleted: {listed}' if (listed := ', '.join(elsewhere)) else ''}",
    )  # fmt: skip
    return _result(record, folders, elsewhere, (step.number, append_entry(session.store, entry, _subject(session, name)).number))


def _result(record: PurgeRecord, folders: Sequence[str], elsewhere: Sequence[str], numbers: tuple[int, int]) -> Purged:
    labels = tuple(f"{record.model}/{version}" for version in sorted(record.versions, key=int))
    return Purged(labels, sum(map(len, record.files.values())), tuple(folders), tuple(elsewhere), *numbers)


def _remove_folders(session: Session, record: PurgeRecord) -> tuple[list[str], list[str]]:
    """Delete the recorded caches of this machine; returns their names, and those of other machines in words.

    A place that this session does not use is never deleted: the record comes from the store, which others may write to.

    Raises:
        InputError: one is there in such a place.
        EnvironmentFailure: one cannot be deleted.
    """
    places = {str(place) for place in Holders(session, Selection(record.model, frozenset())).places.values()}
    own = [folder for folder in record.folders if folder.host == platform.node()]
    unknown = [folder for folder in own if folder.place not in places and _has_content(Path(folder.place))]
    for folder in own:
        if folder.place in places:
            (_remove_jobs if folder.name in JOB_PARTS else _remove_folder)(Path(folder.place))
    if unknown:
        raise InputError(
            f"not deleted: {', '.join(folder.place for folder in unknown)}, which this command does not use: the purge began"
            " with another --job-folder, working folder or GRMU_AUDIT_CACHE; give the same to"
            f" 'requests purge --model {record.model} --resume', or delete it by hand, then resume"
        )
    if left := [folder.place for folder in own if _has_content(Path(folder.place))]:
        raise EnvironmentFailure(f"written again meanwhile: {', '.join(left)}; stop what writes there, then resume")
    return [folder.name for folder in own], [folder.title for folder in record.folders if folder not in own]


def _has_content(place: Path) -> bool:
    return place.is_symlink() or (place.exists() and (not place.is_dir() or any(place.iterdir())))


def _remove_jobs(place: Path) -> None:
    """Delete what jobs stored in a folder that the user named; the folder stays."""
    if place.is_symlink():
        raise InputError(f"{place} is a symbolic link: delete what it leads to by hand, then resume")
    require_jobs(place)
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            _remove_folder(path)
        else:
            _remove_file(path)


def _remove_file(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentFailure(f"cannot delete {path}: {error.strerror or error}; then resume") from error


def _remove_folder(place: Path) -> None:
    if place.is_symlink():
        raise InputError(f"{place} is a symbolic link: delete what it leads to by hand, then resume")
    try:
        shutil.rmtree(place)
    except FileNotFoundError:
        return
    except OSError as error:
        raise EnvironmentFailure(f"cannot delete {error.filename or place}: {error.strerror or error}; then resume") from error


def _mark(session: Session, ref: ModelRef, step: LedgerEntry) -> None:
    """Mark a purged version in the registry by a tag and a description."""
    session.store.tag(ref, {TAG_PURGED: step.number})
    text = f"**Purged.** Weights and outputs of this version were deleted on purpose (ledger entry {step.number})."
    session.store.describe(ref, text, run_id=str(step.entry.run), artifact=PURGE)
