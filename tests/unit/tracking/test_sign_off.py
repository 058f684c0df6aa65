"""Who may sign an audit off, and which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.judged_audits import audit_of, policy, predictions, version
from support.memory_store import MemoryStore

from grmu_audit.errors import GrmuAuditError
from grmu_audit.tracking import Author, read_ledger, record_audit, sign_off


@pytest.mark.parametrize(
    ("role", "person", "code", "said"),
    [
        ("boss", "ana", 2, "role 'boss' is not one of preparer, reviewer"),
        ("preparer", "unknown", 2, "a sign-off needs the name of a person: give --actor"),
        ("preparer", "  ", 2, "a sign-off needs the name of a person: give --actor"),
        ("preparer", "ana", 3, "m/1 was measured but not judged: there is no verdict to sign off"),
    ],
)
def test_what_cannot_be_signed_enters_nothing(tmp_path: Path, role: str, person: str, code: int, said: str) -> None:
    store = MemoryStore(tmp_path / "store")
    ref = version(store, "m", tmp_path / "v1")
    with store.run("m", "audit") as run:
        record_audit(store, run, replace(audit_of(ref, [predictions(100)], policy()), verdict=None))
    before = read_ledger(store, "m").last
    with pytest.raises(GrmuAuditError, match=said) as caught:
        sign_off(store, ref, role, Author(person))
    assert caught.value.exit_code == code
    assert read_ledger(store, "m").last == before
