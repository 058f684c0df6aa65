"""Requests that wait: recorded when they are received, withdrawn, or served together by one version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from grmu_audit.data.dataset import Dataset
from grmu_audit.data.forget import ForgetList, earlier_ids, read_forget_list
from grmu_audit.errors import ForgetListError, InputError, NotFoundError
from grmu_audit.evidence import key_check, pseudonyms, set_digest
from grmu_audit.records import ForgetRequest, ModelRef
from grmu_audit.records.lineage import ErasureRecord
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.ledger import append_entry
from grmu_audit.tracking.names import PENDING
from grmu_audit.tracking.read_once import ReadOnce
from grmu_audit.tracking.references import Reference, parse_reference
from grmu_audit.tracking.requests import UNNAMED, Lineages, PendingRequest, pending_artifact, received_requests
from grmu_audit.utils import sha256_hex
from grmu_audit.utils.clock import timestamp
from grmu_audit.workflows.erasure import due_date, erasure_records, require_received
from grmu_audit.workflows.forget_requests import read_request, require_key_of_model
from grmu_audit.workflows.session import Session

ALL = "pending"
"""Stands for every request that waits."""


@dataclass(frozen=True)
class RequestFields:
    """What the operator says of requests beside the list; a column of the list goes first."""

    request_id: str = ""
    """Id of rows without one; empty: from the digest of the rows."""
    received: date | None = None
    """Date of receipt."""
    ground: str = ""
    """Ground."""


def add_requests(session: Session, name: str, path: Path, fields: RequestFields = RequestFields()) -> list[ErasureRecord]:
    """Record the requests of a list: one for each request id, with pseudonyms, due date and ground; nothing is trained.

    A command that was killed is given again: requests that wait already with the same rows and fields are not recorded twice.

    Args:
        session: store and key; the store is created where there is none.
        name: reference of a version of the model, whose data and lineage the list is checked against; or the name of a model that
            has no version yet: its ids are compared with the data once a version is created for them.
        path: the list, as for ``unlearn``.
        fields: what its columns do not say.

    Raises:
        ForgetListError: the list is invalid, or names nothing that is not forgotten already.
        InputError: a request of that id is recorded already with other rows, dates or ground, rows without an id would get one
            that other rows of the list have, or the list names people by their subject and there is no version yet.
    """
    session.create_store()
    reading = session.read_once()
    ref, request = _read(reading, name, path)
    received = received_requests(reading.store, read_ledger(reading.store, ref.name))
    known = {one.record.request_id: one.record for one in received}
    column = request.columns.get("request_id") or ("",) * len(request.ids)
    found = []
    for record in erasure_records(request, session.key):
        ids = [one for one, text in zip(request.ids, column, strict=True) if (text or UNNAMED) == record.request_id]
        found.append((_completed(record, fields), ids))
    given = Counter(record.request_id for record, _ in found)
    if repeated := next((text for text, count in given.items() if count > 1), None):
        raise InputError(
            f"{repeated!r} is the id of other rows of the list too: write it beside every row of that request, or give the rows"
            " without an id another one"
        )
    same = {record.request_id for record, _ in found if known.get(record.request_id) == record}
    if others := sorted(record.request_id for record, _ in found if record.request_id in known.keys() - same):
        raise InputError(
            f"requests {', '.join(map(repr, others[:5]))} of {ref.name} are recorded already with other rows, dates or ground:"
            " withdraw them first"
        )
    for record, ids in found:
        if record.request_id in same:
            session.observer.note(f"request {record.request_id!r} is recorded already: it is not entered again")
            continue
        names = frozenset(pseudonyms(session.key, ids))
        _enter(session, ref, PendingRequest(record, names, key_check(session.key)))
    return [record for record, _ in found]


def _read(session: Session, name: str, path: Path) -> tuple[ModelRef, ForgetRequest]:
    """The version that a list is about, or the model's name alone where it has none yet, and the list."""
    wanted = parse_reference(name)
    if Reference(wanted.name) != wanted or session.store.versions(wanted.name):
        ref = session.store.resolve(name)
        session.require_key(ref)
        return ref, read_request(session, path, session.dataset_of(ref), ref).forget
    require_key_of_model(session, wanted.name)
    parsed = read_forget_list(path)
    if not parsed.ids:
        raise InputError(
            f"{parsed.source} names people by their subject, and {wanted.name} has no data yet: list the ids of rows"
        )
    ids = tuple(dict.fromkeys(parsed.ids))
    if len(ids) < len(parsed.ids):
        raise ForgetListError(f"forget list {parsed.source}: {len(parsed.ids) - len(ids)} ids are repeated: list each once")
    session.observer.note(
        f"{wanted.name} has no version in {session.store.uri} yet: whether its data has these {len(ids)} ids is seen when one is"
        " created for them"
    )
    return ModelRef(wanted.name, ""), ForgetRequest(ids, set_digest(session.key, ids), columns=parsed.columns)


def _completed(record: ErasureRecord, fields: RequestFields) -> ErasureRecord:
    """A record with what the operator says where the list says nothing."""
    unnamed = fields.request_id or f"request-{record.digest.rpartition(':')[2][:8]}"
    name = unnamed if record.request_id == UNNAMED else record.request_id
    record = replace(record, request_id=name, ground=record.ground or fields.ground or None)
    if record.received_at is not None or fields.received is None:
        return record
    received = require_received(fields.received)
    return replace(record, received_at=received.isoformat(), due_at=due_date(received).isoformat())


def _enter(session: Session, ref: ModelRef, request: PendingRequest) -> None:
    content = pending_artifact(request)
    with session.store.run(ref.name, "request") as run:
        run.log_bytes(content, PENDING)
        subject = ref if ref.version else ModelRef(ref.name, "", run_id=run.id)
        ledger, said = read_ledger(session.store, ref.name), {"actor": session.actor, "time": timestamp()}
        entry = ledger.new_entry(
            "request", request=request.record.request_id, run=run.id, record_sha256=sha256_hex(content), **said
        )
        append_entry(session.store, entry, subject)
        if ledger.key_check is None:
            entry = read_ledger(session.store, ref.name).new_entry("key", key_check=request.key_check, **said)
            append_entry(session.store, entry, subject)


def withdraw_request(session: Session, name: str, request_id: str, reason: str) -> int:
    """Enter in the ledger that a request that waits was withdrawn; returns the entry's number.

    Raises:
        NotFoundError: no request of that id waits.
        InputError: there is no reason.
    """
    if not reason.strip():
        raise InputError("--reason: say why the request is withdrawn; the ledger keeps it")
    require_known(pending_requests(session, name), [request_id], name)
    ledger = read_ledger(session.store, name)
    run = next(n.entry.run for n in reversed(ledger.entries) if n.entry.kind == "request" and n.entry.request == request_id)
    entry = ledger.new_entry("withdrawal", request=request_id, reason=reason, actor=session.actor, time=timestamp())
    return append_entry(session.store, entry, ModelRef(name, "", run_id=run)).number


def note_pending(session: Session, name: str) -> None:
    """Note that requests of a model wait, before a version is trained on all rows."""
    waiting = pending_requests(session, name) if session.store_exists else []
    if waiting:
        named = ", ".join(one.record.request_id for one in waiting[:5]) + (", ..." if len(waiting) > 5 else "")
        session.observer.note(
            f"{len(waiting)} requests of {name} wait ({named}): this version reads their rows, and"
            f" 'grmu-audit unlearn --model {name} --requests {ALL}' creates one without them"
        )


def pending_requests(session: Session, name: str) -> list[PendingRequest]:
    """Requests of a model that wait: recorded, not withdrawn, not served by its champion; by due date, those without one last.

    A champion has served a request when it was created without all its rows.

    Raises:
        IntegrityError: a record or the ledger is damaged.
    """
    store = ReadOnce(session.store)
    ledger = read_ledger(store, name)
    received = received_requests(store, ledger)
    champion = ledger.state.champion
    forgotten = frozenset[str]()
    if received and champion is not None:
        lineages = Lineages(store)
        ref = lineages.version(f"{name}/{champion}")
        forgotten = lineages.left_out(ref) | lineages.withheld(ref) if ref is not None else forgotten
    waiting = [one for one in received if not one.pseudonyms <= forgotten]
    return sorted(waiting, key=lambda one: (one.record.due_at is None, one.record.due_at or "", one.record.request_id))


def require_known(waiting: Sequence[PendingRequest], wanted: Sequence[str], name: str) -> None:
    """Return when a request of each id waits.

    Raises:
        NotFoundError: one does not; those that do are named.
    """
    known = [one.record.request_id for one in waiting]
    for text in wanted:
        if text not in known:
            raise NotFoundError(f"no request {text[:80]!r} of {name} waits; waiting: {', '.join(known[:20]) or 'none'}")


def chosen_requests(session: Session, name: str, wanted: Sequence[str]) -> list[PendingRequest]:
    """The requests that one version shall serve together.

    Args:
        session: store and key.
        name: model name.
        wanted: request ids, or ``pending`` for all that wait.

    Raises:
        InputError: none waits, or one was recorded under another key.
        NotFoundError: no request of an id waits.
    """
    waiting = pending_requests(session, name)
    if not waiting:
        raise InputError(f"no request of {name} waits: record one with 'grmu-audit requests add --model {name} --forget ids.csv'")
    if list(wanted) != [ALL]:
        require_known(waiting, wanted, name)
        waiting = [one for one in waiting if one.record.request_id in wanted]
    check = key_check(session.key)
    if others := [one.record.request_id for one in waiting if one.key_check != check]:
        raise InputError(f"requests {', '.join(others[:5])} were recorded under another key: withdraw them and add them again")
    return waiting


def as_forget_list(session: Session, dataset: Dataset, requests: Sequence[PendingRequest]) -> ForgetList:
    """One list of all rows that the requests name, each once, in the order of the data.

    Raises:
        InputError: a request names rows that are not in the data.
    """
    named = frozenset[str]().union(*(one.pseudonyms for one in requests))
    present = frozenset(session.pseudonyms_of(dataset))
    for one in requests:
        if missing := len(one.pseudonyms - present):
            raise InputError(
                f"request {one.record.request_id!r}: {missing} of {len(one.pseudonyms)} ids are not in {dataset.header.name!r}:"
                " withdraw it, and add it again with the ids of the data"
            )
    ids = earlier_ids(dataset.frame, session.key, named)
    first = {name: one.record.request_id for one in reversed(requests) for name in one.pseudonyms}
    names = pseudonyms(session.key, ids)
    columns = {"request_id": tuple(first[name] for name in names)}
    return ForgetList("of pending requests", ids, tuple(range(1, len(ids) + 1)), columns)
