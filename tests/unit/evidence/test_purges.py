"""Purges and legal holds as a ledger says."""

from __future__ import annotations

import pytest

from grmu_audit.errors import InconclusiveError
from grmu_audit.evidence.ledger import Entry, Ledger, LedgerEntry
from grmu_audit.evidence.purges import WHOLE_MODEL, active_holds, purge_state, require_not_purged


def ledger_of(*entries: dict[str, object]) -> Ledger:
    """A ledger whose entries say only what is needed."""
    rows = []
    for number, fields in enumerate(entries, 1):
        given = {"previous": number - 1, "time": "2026-12-01T00:00:00+00:00", **fields}
        rows.append(LedgerEntry(number, f"{number}" * 8, Entry(model="m", chain_sha256="", **given)))  # type: ignore[arg-type]
    return Ledger("m", tuple(rows))


def test_a_purge_is_open_until_it_ends() -> None:
    begun = {"kind": "purge", "purged": ["1"]}
    state = purge_state(ledger_of(begun))
    assert state.open is not None
    assert state.done == ()
    ended = ledger_of(begun, {"kind": "purged", "turn": 1})
    state = purge_state(ended)
    assert state.open is None
    assert [step.number for step in state.done] == [1]
    assert state.before("1", 0)
    assert not state.before("1", 1)
    assert state.of("2") is None
    with pytest.raises(InconclusiveError, match=r"m/1 was purged \(ledger entry 1, 2026-12-01\)"):
        require_not_purged(ended, ["2", "1"])
    require_not_purged(ended, ["2"])


def test_an_abandoned_purge_and_one_that_lost_have_no_effect() -> None:
    begun = {"kind": "purge", "purged": ["1"]}
    assert purge_state(ledger_of(begun, {"kind": "abandoned", "turn": 1})).begun == ()
    both = purge_state(ledger_of(begun, {**begun, "purged": ["2"], "previous": 0}, {"kind": "purged", "turn": 1}))
    assert [step.number for step in both.begun] == [1]
    unmatched = purge_state(ledger_of(begun, {"kind": "purged", "turn": 7}))
    assert unmatched.open is not None


def test_a_hold_is_active_until_it_is_released() -> None:
    held = {"kind": "hold", "request": "R-1", "reason": "court"}
    assert set(active_holds(ledger_of(held, {"kind": "hold", "reason": "audit"}))) == {"R-1", WHOLE_MODEL}
    assert set(active_holds(ledger_of(held, {"kind": "release"}))) == {"R-1"}
    assert active_holds(ledger_of(held, {"kind": "release", "request": "R-1"})) == {}
