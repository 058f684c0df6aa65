"""Requests that wait: recorded without an id, withdrawn, and served together by one version."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support.memory_store import MemoryStore
from support.notes import Notes
from support.sessions import open_session

from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import ForgetListError, InputError, IntegrityError, NotFoundError
from grmu_audit.evidence import KEY_FILE_VARIABLE, key_check, key_path, load_key, pseudonyms
from grmu_audit.policy import load_named
from grmu_audit.records import ModelRef
from grmu_audit.report.content.forgetting import request_shares
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.names import PENDING
from grmu_audit.tracking.requests import read_erasure_records
from grmu_audit.workflows.audits.collection import AuditSettings
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.erasure import open_requests, record_answer
from grmu_audit.workflows.keys import rotate
from grmu_audit.workflows.pending import RequestFields, add_requests, chosen_requests, pending_requests, withdraw_request
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 1, "batch_size": 128}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, ModelRef, list[str]]:
    """A pretrained version, and ids of its training rows."""
    root = tmp_path_factory.mktemp("base")
    session = open_session(MemoryStore(root / "store"), root)
    ref = pretrain(session, "m", DataSpec("photodigits", {"renders": 1}), options=TrainingOptions(SHORT))
    frame = session.dataset_of(ref).frame
    return session, ref, frame["id"][frame["split"] == "train"].tolist()


def write(path: Path, *rows: str, header: str = "id") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_recorded_requests_are_served_by_one_version_with_a_row_for_each(
    base: tuple[Session, ModelRef, list[str]], tmp_path: Path
) -> None:
    session, ref, ids = base
    store = session.store
    two = write(tmp_path / "two.csv", *(f"{name},R-{i // 12}" for i, name in enumerate(ids[:24])), header="id,request_id")
    added = add_requests(session, ref.label, two, RequestFields(received=date(2026, 1, 31), ground="17(1)(b)"))
    assert [(r.request_id, r.rows, r.due_at, r.ground) for r in added] == [
        ("R-0", 12, "2026-02-28", "17(1)(b)"),
        ("R-1", 12, "2026-02-28", "17(1)(b)"),
    ]
    with pytest.raises(InputError, match="9999-12-31 is not a date of receipt: it is in the future"):
        add_requests(session, ref.label, write(tmp_path / "one.csv", *ids[20:40]), RequestFields(received=date.max))
    (third,) = add_requests(session, ref.label, write(tmp_path / "one.csv", *ids[20:40]), RequestFields("R-2"))
    assert (third.request_id, third.due_at) == ("R-2", None)
    (unnamed,) = add_requests(session, ref.label, write(tmp_path / "four.csv", *ids[50:53]))
    assert unnamed.request_id.startswith("request-")
    withdraw_request(session, "m", unnamed.request_id, "sent by mistake")
    with pytest.raises(NotFoundError, match=f"no request '{unnamed.request_id}' of m waits; waiting: R-0, R-1, R-2"):
        withdraw_request(session, "m", unnamed.request_id, "again")
    assert [one.record.request_id for one in pending_requests(session, "m")] == ["R-0", "R-1", "R-2"]
    waiting = open_requests(store, "m", today=date(2026, 3, 1))
    assert [(one.record.request_id, one.version, one.overdue) for one in waiting] == [
        ("R-0", "", True),
        ("R-1", "", True),
        ("R-2", "", False),
    ]
    with pytest.raises(NotFoundError, match="no version of m was created for the request 'R-0'"):
        record_answer(session, "m", "R-0")
    assert not any(
        name.encode() in path.read_bytes() for path in tmp_path.glob("store/**/*") for name in ids[:53] if path.is_file()
    )

    made = unlearn(session, ref.label, ("pending",), UnlearnOptions("cf", SHORT))
    assert made.config["data"] == ref.config["data"]
    records = read_erasure_records(store, made)
    assert [(r.request_id, r.rows, r.due_at) for r in records] == [
        ("R-0", 12, "2026-02-28"),
        ("R-1", 12, "2026-02-28"),
        ("R-2", 20, None),
    ]
    assert {one.version for one in open_requests(store, "m")} == {made.version}
    assert len(pending_requests(session, "m")) == 3  # until a champion has served them
    done = audit(session, made.label, load_named("default"), tmp_path / "audit", AuditSettings()).audit
    value = done.metric("WORST_REQUEST_SHARE")
    assert value is not None
    rows = value.details["requests"]
    assert [(row["request"], row["n"]) for row in rows] == [("R-0", 12), ("R-1", 12), ("R-2", 20)]
    assert [row.served_by for row in request_shares(Lookup.of(done))] == ["R-0", "R-1", "R-2"]


def test_what_cannot_be_recorded_or_served_is_refused(base: tuple[Session, ModelRef, list[str]], tmp_path: Path) -> None:
    session, ref, ids = base
    add_requests(session, ref.label, write(tmp_path / "a.csv", *ids[60:62]), RequestFields("A"))
    with pytest.raises(InputError, match="'A' of m are recorded already"):
        add_requests(session, ref.label, write(tmp_path / "b.csv", *ids[63:64]), RequestFields("A"))
    with pytest.raises(InputError, match="--reason"):
        withdraw_request(session, "m", "A", " ")
    with pytest.raises(NotFoundError, match="no request 'B' of m waits"):
        unlearn(session, ref.label, ("B",))
    with pytest.raises(InputError, match="no request of other waits"):
        chosen_requests(session, "other", ["pending"])
    store = session.store
    assert isinstance(store, MemoryStore)
    run = next(run for run in store.runs.values() if PENDING in run.logged and b'"A"' in (run.root / PENDING).read_bytes())
    kept = (run.root / PENDING).read_bytes()
    (run.root / PENDING).write_bytes(kept.replace(b'"rows":2', b'"rows":1'))
    with pytest.raises(IntegrityError, match="record of request 'A' of m is gone or changed"):
        pending_requests(session, "m")
    (run.root / PENDING).write_bytes(kept)


def test_a_list_that_was_recorded_in_part_is_completed_when_it_is_given_again(tmp_path: Path) -> None:
    """As after a kill between two requests of a list: none is lost, and none is entered twice."""
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    notes = Notes()
    session.observer, received = notes, RequestFields(received=date(2026, 1, 31))
    header = "id,request_id"
    first = write(tmp_path / "first.csv", "a,R-0", "b,R-0", header=header)
    whole = write(tmp_path / "whole.csv", "a,R-0", "b,R-0", "c,R-1", header=header)
    add_requests(session, "m", first, received)
    assert [record.request_id for record in add_requests(session, "m", whole, received)] == ["R-0", "R-1"]
    assert any("request 'R-0' is recorded already" in line for line in notes.lines)
    entered = [n.entry.request for n in read_ledger(session.store, "m").entries if n.entry.kind == "request"]
    assert entered == ["R-0", "R-1"]
    other = write(tmp_path / "other.csv", "a,R-0", "c,R-1", "d,R-2", header=header)
    for path, fields in ((other, received), (whole, RequestFields(received=date(2026, 2, 1)))):
        with pytest.raises(InputError, match="of m are recorded already with other rows, dates or ground"):
            add_requests(session, "m", path, fields)
    assert len(pending_requests(session, "m")) == 2


def test_requests_wait_before_any_version_and_are_served_by_the_first(tmp_path: Path) -> None:
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    store, notes = session.store, Notes()
    session.observer = notes
    data = DataSpec("photodigits", {"renders": 1})
    frame = session.dataset(data).frame
    ids = frame["id"][frame["split"] == "train"].tolist()
    path = write(tmp_path / "two.csv", *(f"{name},R-{i // 5}" for i, name in enumerate(ids[:10])), header="id,request_id")
    added = add_requests(session, "m", path, RequestFields(received=date(2026, 1, 31)))
    assert [(r.request_id, r.rows, r.due_at) for r in added] == [("R-0", 5, "2026-02-28"), ("R-1", 5, "2026-02-28")]
    assert any("m has no version in memory yet" in line for line in notes.lines)
    add_requests(session, "m", write(tmp_path / "typing.csv", "nobody"), RequestFields("TYPO"))
    assert [r.record.request_id for r in open_requests(store, "m", today=date(2026, 3, 1)) if r.overdue] == ["R-0", "R-1"]
    with pytest.raises(InputError, match="'R-1' of m are recorded already"):
        add_requests(session, "m", path)
    with pytest.raises(NotFoundError, match="m has requests and no version yet"):
        store.resolve("m")
    with pytest.raises(ForgetListError, match="1 ids are repeated"):
        add_requests(session, "m", write(tmp_path / "same.csv", ids[0], ids[0]))
    with pytest.raises(InputError, match="people by their subject"):
        add_requests(session, "m", write(tmp_path / "people.csv", "anna", header="subject"))
    with pytest.raises(NotFoundError, match="no model 'other'"):
        add_requests(session, "other@champion", path)

    ref = pretrain(session, "m", data, options=TrainingOptions(SHORT))
    assert any("3 requests of m wait (R-0, R-1, TYPO)" in line for line in notes.lines)
    assert [n.entry.kind for n in read_ledger(store, "m").entries].count("key") == 1
    with pytest.raises(InputError, match="request 'TYPO': 1 of 1 ids are not in 'photodigits'"):
        unlearn(session, ref.label, ("pending",), UnlearnOptions("cf", SHORT))
    withdraw_request(session, "m", "TYPO", "mistyped")
    made = unlearn(session, ref.label, ("pending",), UnlearnOptions("cf", SHORT))
    assert [(r.request_id, r.due_at) for r in read_erasure_records(store, made)] == [("R-0", "2026-02-28"), ("R-1", "2026-02-28")]
    assert {(one.record.request_id, one.version) for one in open_requests(store, "m")} == {("R-0", "2"), ("R-1", "2")}


def test_another_key_is_refused_before_a_first_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "hmac.key"))
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    add_requests(session, "m", write(tmp_path / "one.csv", "a"))
    key_path().unlink()
    session.forget_key()
    with pytest.raises(InputError, match="but m has pseudonyms that were created with one"):
        add_requests(session, "m", write(tmp_path / "two.csv", "b"))
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "other.key"))
    load_key()
    with pytest.raises(InputError, match="requests of m were recorded with another key"):
        pretrain(session, "m", DataSpec("photodigits", {"renders": 1}), options=TrainingOptions(SHORT))


def test_requests_that_wait_follow_the_key(
    base: tuple[Session, ModelRef, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "hmac.key"))
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    store, ids = session.store, base[2]
    ref = pretrain(session, "m", DataSpec("photodigits", {"renders": 1}), options=TrainingOptions(SHORT))
    add_requests(session, "m", write(tmp_path / "served.csv", *ids[:5]), RequestFields("SERVED"))
    first = unlearn(session, ref.label, ("SERVED",), UnlearnOptions("cf", SHORT))
    add_requests(session, ref.label, write(tmp_path / "waits.csv", *ids[5:10]), RequestFields("WAITS"))
    add_requests(session, "early", write(tmp_path / "early.csv", *ids[:2]), RequestFields("EARLY"))
    done = rotate(session)
    assert done.versions == {"m": 1, "early": 0}
    assert done.left == ("early: EARLY",)
    assert {(r.record.request_id, r.version) for r in open_requests(store, "m")} == {("SERVED", first.version), ("WAITS", "")}
    waiting = {one.record.request_id: one for one in chosen_requests(session, "m", ["pending"])}
    assert waiting["WAITS"].key_check == key_check(session.key)
    assert waiting["WAITS"].pseudonyms == frozenset(pseudonyms(session.key, ids[5:10]))
    both = unlearn(session, first.label, ("pending",), UnlearnOptions("cf", SHORT))
    assert {(r.record.request_id, r.versions) for r in open_requests(store, "m")} == {
        ("SERVED", (first.version, both.version)),
        ("WAITS", (both.version,)),
    }
    with pytest.raises(InputError, match="requests EARLY were recorded under another key"):
        chosen_requests(session, "early", ["pending"])
    withdraw_request(session, "early", "EARLY", "added again")
    add_requests(session, "early", write(tmp_path / "early.csv", *ids[:2]), RequestFields("EARLY"))
    assert [one.record.request_id for one in chosen_requests(session, "early", ["pending"])] == ["EARLY"]


def test_rows_without_an_id_do_not_get_that_of_other_rows_of_the_list(tmp_path: Path) -> None:
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    listed = write(tmp_path / "ids.csv", "a,R-1", "b,R-1", "c,", header="id,request_id")
    with pytest.raises(InputError, match="'R-1' is the id of other rows of the list too"):
        add_requests(session, "m", listed, RequestFields("R-1"))
    assert pending_requests(session, "m") == []
    assert len(add_requests(session, "m", listed, RequestFields("R-2"))) == 2
    assert [len(one.pseudonyms) for one in pending_requests(session, "m")] == [2, 1]
