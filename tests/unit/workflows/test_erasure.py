"""Erasure records: many requests in one list, one record each, no id in any of them; open ones by their due dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from support.judged_audits import audit_of, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.errors import ForgetListError, InputError, NotFoundError
from grmu_audit.records import ForgetRecord, ForgetRequest, ModelRef
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.names import ERASURE
from grmu_audit.workflows.audits.stored import ledger_since
from grmu_audit.workflows.erasure import (
    due_date,
    erasure_artifact,
    erasure_records,
    erasure_summary,
    open_requests,
    read_systems,
    record_answer,
)
from grmu_audit.workflows.session import Session

KEY = bytes(32)
BATCH = ForgetRequest(
    ("person-1-a", "person-1-b", "person-2-a", "nobody"),
    "hmac-sha256:" + "0" * 64,
    {
        "request_id": ("R-1", "R-1", "R-2", ""),
        "received_at": ("2026-01-31", "2026-01-30", "2026-03-15T10:00:00", ""),
        "subject": ("ann", "ann", "bob", ""),
        "ground": ("17(1)(b)", "", "17(1)(a)", ""),
    },
)


def test_each_request_of_a_batch_gets_its_own_record() -> None:
    one, two, rest = erasure_records(BATCH, KEY)
    assert (one.request_id, one.rows, one.received_at, one.due_at, one.ground) == (
        "R-1",
        2,
        "2026-01-30",
        "2026-02-28",
        "17(1)(b)",
    )
    assert (two.request_id, two.rows, two.due_at) == ("R-2", 1, "2026-04-15")
    assert (rest.request_id, rest.due_at, rest.subject) == ("unnamed", None, None)
    assert len({one.digest, two.digest, rest.digest}) == 3
    text = erasure_artifact([one, two, rest]).decode()
    assert not any(secret in text for secret in ("person-1", "ann", "bob", "nobody"))


@pytest.mark.parametrize(
    ("received", "wanted"),
    [("2026-01-31", "2026-02-28"), ("2028-01-31", "2028-02-29"), ("2026-12-31", "2027-01-31"), ("2026-03-15", "2026-04-15")],
)
def test_a_request_is_due_one_month_later(received: str, wanted: str) -> None:
    assert due_date(date.fromisoformat(received)).isoformat() == wanted


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(ForgetListError, match="not a date"):
        erasure_records(ForgetRequest(("a",), "d", {"received_at": ("soon",)}), KEY)


@pytest.mark.parametrize("late", ["9999-12-31", (datetime.now(UTC) + timedelta(days=3)).date().isoformat()])
def test_a_date_in_the_future_is_refused(late: str) -> None:
    with pytest.raises(InputError, match=f"{late} is not a date of receipt: it is in the future"):
        erasure_records(ForgetRequest(("a",), "d", {"received_at": (late,)}), KEY)


def test_the_operators_list_of_systems(tmp_path: Path) -> None:
    path = tmp_path / "systems.yaml"
    path.write_text("systems:\n  - {name: backups, state: scheduled, reason: rotated within 30 days}\n")
    assert read_systems(path)[0].reason == "rotated within 30 days"
    path.write_text("systems:\n  - {name: backups, state: gone}\n")
    with pytest.raises(InputError, match="state"):
        read_systems(path)


def made(store: MemoryStore, folder: Path, number: int, batch: ForgetRequest = BATCH) -> ModelRef:
    (folder / f"v{number}").mkdir()
    (folder / f"v{number}" / "w").write_bytes(bytes([number]))
    with store.run("faces", "unlearn") as run:
        run.log_bytes(erasure_artifact(erasure_records(batch, KEY)), ERASURE)
        return store.register(run, "faces", folder / f"v{number}", role="unlearned")


def test_open_requests_by_due_date_until_they_are_answered(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    version(store, "faces", tmp_path / "base")
    for number in (1, 2):
        made(store, tmp_path, number)
    found = open_requests(store, "faces", today=date(2026, 3, 1))
    assert [(r.record.request_id, r.version, r.overdue) for r in found] == [
        ("R-1", "3", True),
        ("R-2", "3", False),
        ("unnamed", "3", False),
    ]
    assert {r.versions for r in found} == {("2", "3")}
    session = Session(actor="dpo")
    session.__dict__["store"] = store
    record_answer(session, "faces", "R-1", "letter of 1 March")
    assert [r.overdue for r in open_requests(store, "faces", today=date(2026, 3, 1))] == [False, False, False]
    assert read_ledger(store, "faces").entries[-1].entry.actor == "dpo"
    with pytest.raises(InputError, match="was answered on"):
        record_answer(session, "faces", "R-1")
    with pytest.raises(NotFoundError):
        record_answer(session, "faces", "R-9")


def test_an_answer_is_to_the_request_of_its_version_and_not_to_a_later_one_of_the_same_id(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    version(store, "faces", tmp_path / "base")
    made(store, tmp_path, 1)
    session = Session(actor="dpo")
    session.__dict__["store"] = store
    record_answer(session, "faces", "unnamed")
    asked = ForgetRecord(4, "d", (), {"request_ids": ["unnamed"]})
    first, second = (replace(audit_of(ModelRef("faces", v), [predictions(1)], policy(0.5)), forget=asked) for v in ("2", "3"))
    again = made(store, tmp_path, 2, ForgetRequest(("other",), "e", {"received_at": ("2026-01-05",)}))

    def found() -> list[tuple[str, bool, bool]]:
        listed = open_requests(store, "faces", today=date(2026, 3, 1))
        return [(r.version, r.answered_at is not None, r.overdue) for r in listed if r.record.request_id == "unnamed"]

    assert found() == [(again.version, False, True), ("2", True, False)]
    assert "answered_at" in ledger_since(store, first, "a" * 64)
    assert "answered_at" not in ledger_since(store, second, "a" * 64)
    record_answer(session, "faces", "unnamed")
    assert found() == [(again.version, True, False), ("2", True, False)]
    with pytest.raises(InputError, match="was answered on"):
        record_answer(session, "faces", "unnamed")


def test_a_report_names_the_pseudonym_of_each_person_once(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    fields = erasure_summary(store, made(store, tmp_path, 1))
    one, two, _ = erasure_records(BATCH, KEY)
    assert fields["subject"] == f"{one.subject}, {two.subject}"
    assert fields["request_id"] == "R-1, R-2"
