"""Registration records: a ledger entry that is about one run and holds the record of another."""

from __future__ import annotations

import pytest

from grmu_audit.errors import IntegrityError
from grmu_audit.evidence.ledger import Ledger, LedgerEntry
from grmu_audit.evidence.registration import Registration, registration_of
from grmu_audit.evidence.signing import sign_envelope
from grmu_audit.records import ModelRef


def test_the_record_in_an_entry_is_about_the_run_of_the_entry() -> None:
    record = Registration("run-1", "a" * 64, {"grmu.role": "b" * 64}, {"predictions.parquet": "c" * 64})
    envelope = sign_envelope(record.statement(), None).decode()
    entries = [Ledger("m", ()).new_entry("registration", run=run, envelope=envelope) for run in ("run-1", "run-2")]
    ledger = Ledger("m", tuple(LedgerEntry(number, f"{number}" * 64, entry) for number, entry in enumerate(entries, 1)))
    found = registration_of(ledger, ModelRef("m", "1", run_id="run-1"))
    assert found is not None
    assert (found.number, found.record) == (1, record)
    with pytest.raises(IntegrityError, match="the registration record of m/2 is about another run"):
        registration_of(ledger, ModelRef("m", "2", run_id="run-2"))
