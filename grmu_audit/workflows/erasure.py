"""Erasure records, one for each request of a forget list, stored with the run that serves them; and which requests are open."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from grmu_audit.errors import ForgetListError, InputError, IntegrityError, NotFoundError
from grmu_audit.evidence import pseudonym, set_digest
from grmu_audit.records import ForgetRequest, ModelRef
from grmu_audit.records.lineage import ErasureRecord, SystemRecord
from grmu_audit.tracking import Store, read_ledger, require_model
from grmu_audit.tracking.read_once import ReadOnce
from grmu_audit.tracking.requests import UNNAMED, Lineages, first_few, read_erasure_records, received_requests
from grmu_audit.utils import canonical_json, load_yaml
from grmu_audit.utils.clock import utc_today
from grmu_audit.workflows.session import Session


class _System(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=200)
    state: Literal["erased", "scheduled", "retained"]
    reason: str = Field("", max_length=2000)


class _Systems(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    systems: list[_System]


@dataclass(frozen=True)
class OpenRequest:
    """One request as ``requests list`` shows it."""

    model: str
    """Registered model."""
    versions: tuple[str, ...]
    """Versions that were created without the data, oldest first."""
    record: ErasureRecord
    """The record."""
    answered_at: str | None
    """Date of the answer, from the ledger; None while there is none."""
    overdue: bool
    """Whether it is not answered and its due date has passed."""
    served: bool = False
    """Whether a champion was created without the data, and it was not opened again since."""
    reopened: bool = False
    """Whether a champion that lacks it was promoted since it was served."""

    @property
    def version(self) -> str:
        """The newest version that was created without the data; empty where there is none yet."""
        return self.versions[-1] if self.versions else ""


def read_systems(path: Path) -> tuple[SystemRecord, ...]:
    """The operator's list of systems: ``systems:`` with ``name``, ``state`` and ``reason`` each.

    Raises:
        InputError: every error of the file with its line.
    """
    return tuple(SystemRecord(s.name, s.state, s.reason) for s in load_yaml(path, _Systems, InputError).systems)


def due_date(received: date) -> date:
    """One month later, on the same day or the last of a shorter month (GDPR 12(3) as recorded, without its extension).

    >>> due_date(date(2026, 1, 31))
    datetime.date(2026, 2, 28)
    """
    year, month = received.year + received.month // 12, received.month % 12 + 1
    return date(year, month, min(received.day, calendar.monthrange(year, month)[1]))


def erasure_records(request: ForgetRequest, key: bytes, systems: Sequence[SystemRecord] = ()) -> tuple[ErasureRecord, ...]:
    """One record for each request id of a list, in order of first appearance.

    Raises:
        ForgetListError: a received_at is not a date.
        InputError: it is in the future.
    """
    rows: dict[str, list[int]] = {}
    for index, name in enumerate(_column(request, "request_id")):
        rows.setdefault(name or UNNAMED, []).append(index)
    return tuple(_record(request, name, found, key, tuple(systems)) for name, found in rows.items())


def erasure_artifact(records: Sequence[ErasureRecord]) -> bytes:
    """The records as the artifact of a run."""
    return canonical_json({"schema": "grmu-audit/erasure/v1", "records": [asdict(record) for record in records]})


def open_requests(store: Store, name: str, *, today: date | None = None) -> list[OpenRequest]:
    """All requests of a model, by due date, those without one last: served by versions, each with its newest, and waiting ones.

    Raises:
        NotFoundError: there is no such model.
        IntegrityError: a stored record is damaged, the ledger is, or the registry has lost the model that the ledger knows.
    """
    store, when = ReadOnce(store), today or datetime.now(UTC).date()
    versions = store.versions(name)  # before the ledger: a version is entered there before it exists
    ledger = read_ledger(store, name)
    received = received_requests(store, ledger)
    renamed = {(one.record.request_id, digest): one.record.digest for one in received for digest in one.earlier}
    if not received:
        require_model(store, name)
    answers = [n.entry for n in ledger.entries if n.entry.kind == "answer"]
    served = {request.digest for request in Lineages(store).served(ledger)}
    lists: dict[tuple[str, str], set[str]] = {}
    found: dict[tuple[str, str], OpenRequest] = {}
    for ref in versions:
        for record in read_erasure_records(store, ref):
            key = record.request_id, renamed.get((record.request_id, record.digest), record.digest)
            lists.setdefault(key, set()).add(str(ref.request_digest or ref.forget_digest))
            states = bool(lists[key] & served), bool(lists[key] & ledger.state.reopened)
            names = (*(found[key].versions if key in found else ()), ref.version)
            # an id may be given again for other rows: an answer is one to the request that its version was created for
            time = next((e.time for e in reversed(answers) if e.request == record.request_id and e.version in names), None)
            late = time is None and _is_past(record, when)
            found[key] = OpenRequest(name, names, record, time, late, *states)
    for one in received:
        record = one.record
        found.setdefault((record.request_id, record.digest), OpenRequest(name, (), record, None, _is_past(record, when)))
    return sorted(
        found.values(), key=lambda r: (r.record.due_at is None, r.record.due_at or "", r.record.request_id, int(r.version or 0))
    )


def _is_past(record: ErasureRecord, when: date) -> bool:
    return record.due_at is not None and record.due_at < when.isoformat()


def require_all_versions(store: Store, name: str) -> None:
    """Return when the registry still has every version that the ledger names: the requests of a lost one cannot be counted.

    Raises:
        IntegrityError: it has lost some.
    """
    present = {ref.version for ref in store.versions(name)}
    named = {n.entry.version for n in read_ledger(store, name).entries if n.entry.version is not None}
    if lost := sorted(named - present, key=int):
        raise IntegrityError(
            f"the ledger of {name} names {', '.join(lost)}, which the registry no longer has: requests that these versions were "
            "created for are not counted; restore the versions, and look at 'grmu-audit verify'"
        )


def erasure_summary(store: Store, ref: ModelRef) -> dict[str, object]:
    """What the erasure records of a version's run say, for the Request and Systems blocks of its report; empty without records.

    Several requests are shown together: all their ids, the earliest receipt and the earliest due date.

    Raises:
        IntegrityError: a stored record is damaged.
    """
    records = read_erasure_records(store, ref)
    names = [record.request_id for record in records if record.request_id != UNNAMED]
    fields: dict[str, object] = {
        "request_id": first_few(names),
        "request_ids": names,
        "subject": first_few(list(dict.fromkeys(r.subject for r in records if r.subject))),
        "received_at": min((r.received_at for r in records if r.received_at), default=None),
        "due_at": min((r.due_at for r in records if r.due_at), default=None),
        "ground": "; ".join(dict.fromkeys(r.ground for r in records if r.ground)),
        "systems": {s.name: f"{s.state}: {s.reason}" if s.reason else s.state for r in records[:1] for s in r.systems},
    }
    return {key: value for key, value in fields.items() if value}


def record_answer(session: Session, name: str, request_id: str, note: str = "") -> int:
    """Enter in the ledger that a request was answered now; returns the number of the entry.

    Raises:
        NotFoundError: no version of the model was created for that request.
        InputError: it was answered already.
    """
    from grmu_audit.tracking.ledger import append_entry
    from grmu_audit.utils.clock import timestamp

    known = [r for r in open_requests(session.store, name) if r.record.request_id == request_id and r.version]
    if not known:
        raise NotFoundError(
            f"no version of {name} was created for the request {request_id[:80]!r}: see 'grmu-audit requests list'"
        )
    unanswered = [r for r in known if r.answered_at is None]
    if not unanswered:
        raise InputError(f"the request {request_id[:80]!r} of {name} was answered on {known[0].answered_at}")
    ref = session.store.resolve(f"{name}/{unanswered[-1].version}")
    entry = read_ledger(session.store, name).new_entry(
        "answer", version=ref.version, request=request_id, actor=session.actor, time=timestamp(), reason=note
    )
    return append_entry(session.store, entry, ref).number


def _column(request: ForgetRequest, name: str) -> tuple[str, ...]:
    return request.columns.get(name) or ("",) * len(request.ids)


def _record(
    request: ForgetRequest, name: str, rows: Sequence[int], key: bytes, systems: tuple[SystemRecord, ...]
) -> ErasureRecord:
    def first(column: str) -> str | None:
        values = [_column(request, column)[i] for i in rows]
        return next((value for value in values if value), None)

    dates = [_date(value) for i in rows if (value := _column(request, "received_at")[i])]
    received = min(dates, default=None)
    subject = first("subject")
    return ErasureRecord(
        request_id=name,
        rows=len(rows),
        digest=set_digest(key, [request.ids[i] for i in rows]),
        subject=pseudonym(key, subject) if subject else None,
        received_at=received.isoformat() if received else None,
        due_at=due_date(received).isoformat() if received else None,
        ground=first("ground"),
        systems=systems,
    )


def _date(text: str) -> date:
    try:
        found = datetime.fromisoformat(text).date()
    except ValueError:
        raise ForgetListError(f"received_at {text[:40]!r} is not a date: write it as YYYY-MM-DD") from None
    return require_received(found)


def require_received(day: date) -> date:
    """The date of receipt of a request, where it is not in the future; UTC's tomorrow is today further east.

    Raises:
        InputError: it is.
    """
    if day > utc_today() + timedelta(days=1):
        raise InputError(
            f"{day} is not a date of receipt: it is in the future, and the request would be due too late; correct it"
        )
    return day
