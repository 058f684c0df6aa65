"""Statements on verdicts: what cannot be attested, and ledgers named in no known form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.judged_audits import audit_of, policy, predictions

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.attestation import LEDGER, TEST_RESULT, ledger_head_of, statement, verdict_statement
from grmu_audit.evidence.ledger import LedgerHead
from grmu_audit.records import ModelRef

JUDGED = audit_of(ModelRef("faces", "7", manifest_sha256="a" * 64), [predictions(100)], policy())


def test_an_audit_without_a_verdict_is_not_attested() -> None:
    with pytest.raises(InputError, match="the audit of faces/7 has no verdict: nothing can be attested"):
        verdict_statement(replace(JUDGED, verdict=None), {"audit.json": "c" * 64})


@pytest.mark.parametrize("head", [None, LedgerHead(0, "0" * 64), LedgerHead(3, "b" * 64)])
def test_a_verdict_names_the_ledger_that_it_was_entered_in(head: LedgerHead | None) -> None:
    assert ledger_head_of(verdict_statement(JUDGED, {"audit.json": "c" * 64}, head)) == head


@pytest.mark.parametrize(
    "told",
    [
        {"entries": -1, "sha256": "b"},
        {"entries": True, "sha256": "b"},
        {"entries": "1", "sha256": "b"},
        {"entries": 1.5, "sha256": "b"},
        {"entries": 1, "sha256": 3},
        {"entries": 1, "sha256": None},
        {"entries": 1},
        {"entries": 1, "sha256": "b", "more": 1},
        [],
        "b",
        3,
    ],
)
def test_a_ledger_named_in_no_known_form_is_refused(told: Any) -> None:
    with pytest.raises(IntegrityError, match="an attestation names the ledger in no known form"):
        ledger_head_of(statement(TEST_RESULT, {"audit.json": "c" * 64}, {LEDGER: told}))
