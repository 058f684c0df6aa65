"""Requests that wait: recorded without an id, withdrawn, and served together by one version."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import InputError, IntegrityError, NotFoundError
from grmu_audit.policy import load_named
from grmu_audit.records import ModelRef
from grmu_audit.report.content.forgetting import request_shares
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.tracking.names import PENDING
from grmu_audit.tracking.requests import read_erasure_records
from grmu_audit.workflows.audits.collection import AuditSettings
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.erasure import open_requests, record_answer
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
