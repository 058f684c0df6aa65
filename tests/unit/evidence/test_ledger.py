"""The ledger: which promotion takes effect, and every changed entry is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from grmu_audit.evidence import ledger
from grmu_audit.tracking.ledger import inspect_ledger
from grmu_audit.tracking.store import LogEntry
from grmu_audit.utils import canonical_json, sha256_hex


def entries_of(*wishes: tuple[str, int, str | None, int | None]) -> tuple[ledger.LedgerEntry, ...]:
    made: tuple[ledger.LedgerEntry, ...] = ()
    for number, (kind, previous, version, turn) in enumerate(wishes, 1):
        entry = ledger.Entry(kind, "a", previous, ledger.running_hash("a", made[:previous]), version=version, turn=turn)
        made = (*made, ledger.LedgerEntry(number, entry.to_tags()[ledger.TAG_ENTRY_SHA256], entry))
    return made


def stored(*entries: ledger.LedgerEntry) -> list[LogEntry]:
    return [LogEntry(numbered.number, numbered.entry.to_tags()) for numbered in entries]


def test_of_two_promotions_that_saw_the_same_state_the_first_takes_effect() -> None:
    entries = entries_of(("promote", 0, "1", None), ("promote", 0, "2", None), ("done", 2, "1", 1), ("promote", 0, "3", None))
    state = ledger.ledger_state(entries)
    assert state.champion == "1"
    assert state.open is None
    assert state.owners == {entries[0].sha256}


def test_other_entries_in_between_do_not_stop_a_promotion() -> None:
    entries = entries_of(("audit", 0, "1", None), ("refusal", 1, "2", None), ("promote", 1, "1", None))
    state = ledger.ledger_state(entries)
    assert state.open is not None
    assert state.open.number == 3
    assert state.champion is None


def test_an_abandoned_promotion_changes_nothing_and_a_stray_done_neither() -> None:
    entries = entries_of(
        ("promote", 0, "1", None), ("done", 1, "1", 1), ("promote", 2, "2", None), ("abandoned", 3, "2", 3), ("done", 4, "2", 3)
    )
    state = ledger.ledger_state(entries)
    assert (state.champion, state.open, state.ended) == ("1", None, {1})


def test_an_untouched_ledger_has_no_defect() -> None:
    entries = entries_of(("promote", 0, "1", None), ("promote", 0, "2", None), ("done", 2, "1", 1))
    assert inspect_ledger("a", stored(*entries)) == (entries, [])


@pytest.mark.parametrize("victim", [0, 1])
def test_every_entry_that_has_a_successor_is_covered_by_the_chain(victim: int) -> None:
    entries = entries_of(("promote", 0, "1", None), ("promote", 0, "2", None), ("done", 2, "1", 1))
    log = stored(*entries)
    other = ledger.Entry("promote", "a", 0, ledger.running_hash("a", ()), version="9")
    log[victim] = LogEntry(victim + 1, other.to_tags())
    _, defects = inspect_ledger("a", log)
    assert defects == ["entry 3 does not fit entries 1 to 2: one of them was changed after it was written"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({ledger.TAG_ENTRY: "{}"}, "does not have its digest"),
        ({ledger.TAG_ENTRY: "", ledger.TAG_ENTRY_SHA256: ""}, "does not have its digest"),
    ],
)
def test_an_edited_entry_is_named(change: dict[str, str], said: str) -> None:
    log = stored(*entries_of(("audit", 0, "1", None), ("promote", 1, "1", None)))
    log[1] = LogEntry(2, {**log[1].tags, **change})
    _, defects = inspect_ledger("a", log)
    assert len(defects) == 1
    assert "entry 2" in defects[0]
    assert said in defects[0]


def test_an_entry_of_another_model_and_a_gap_are_named() -> None:
    entries = entries_of(("audit", 0, "1", None), ("audit", 1, "1", None))
    assert "belongs to the model 'a'" in inspect_ledger("b", stored(*entries))[1][0]
    assert inspect_ledger("a", stored(*entries)[1:])[1] == ["entry 1 is missing"]


def rewritten(text: bytes) -> LogEntry:
    """The second entry with another text, whose digest fits."""
    return LogEntry(2, {ledger.TAG_ENTRY: text.decode(), ledger.TAG_ENTRY_SHA256: sha256_hex(text)})


OTHER_FORM = "is not an entry of a form that this version reads"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"schema": "grmu-audit/ledger/v9"}, OTHER_FORM),
        ({"kind": "celebrate"}, OTHER_FORM),
        ({"last_unbound": "1"}, "cannot be read"),
        ({"last_unbound": True}, "cannot be read"),
        ({"last_unbound": 1.5}, "cannot be read"),
        ({"mood": "good"}, "cannot be read"),
        ({"served": [{"digest": "b"}]}, "cannot be read"),
        ({"previous": -1}, "says that it follows entry -1"),
        ({"previous": 2}, "says that it follows entry 2"),
        ({"previous": "1"}, "cannot be read"),
        ({"previous": True}, "cannot be read"),
        ({"version": [1]}, "cannot be read"),
        ({"version": 1}, "cannot be read"),
        ({"turn": 1.5}, "cannot be read"),
        ({"reopened": 5}, "cannot be read"),
        ({"reopened": [[1]]}, "cannot be read"),
        ({"purged": "1"}, "cannot be read"),
        ({"required": []}, "cannot be read"),
        ({"served": [{"digest": 1, "version": "1", "record_sha256": "c"}]}, "cannot be read"),
    ],
)
def test_an_entry_of_another_form_is_named_although_its_digest_fits(fields: dict[str, Any], said: str) -> None:
    first, second = stored(*entries_of(("audit", 0, "1", None), ("audit", 1, "1", None)))
    tree = json.loads(second.tags[ledger.TAG_ENTRY])
    assert inspect_ledger("a", [first, rewritten(canonical_json(tree))])[1] == []
    assert inspect_ledger("a", [first, rewritten(canonical_json({**tree, **fields}))])[1] == [f"entry 2 {said}"]


def test_an_entry_that_is_not_in_canonical_form_is_named_although_its_digest_fits() -> None:
    first, second = stored(*entries_of(("audit", 0, "1", None), ("audit", 1, "1", None)))
    spread = json.dumps(json.loads(second.tags[ledger.TAG_ENTRY]), indent=1).encode()
    assert inspect_ledger("a", [first, rewritten(spread)])[1] == [f"entry 2 {OTHER_FORM}"]
