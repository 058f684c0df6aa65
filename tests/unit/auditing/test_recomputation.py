"""A forger without any key who recreates everything is detected by recomputing the values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.judged_audits import predictions

from grmu_audit.auditing.bundle_check import verify_bundle_bytes
from grmu_audit.evidence.archive import pack, unpack
from grmu_audit.evidence.attestation import verdict_statement
from grmu_audit.evidence.ledger import check_ledger
from grmu_audit.evidence.signing import sign_envelope
from grmu_audit.records import Audit
from grmu_audit.utils import canonical_json, sha256_hex

Files = dict[str, bytes]


def rewritten(files: Files, change: Callable[[dict[str, Any]], None]) -> Files:
    """What a forger without any key can do: change the audit and recreate everything that depends on it, unsigned."""
    from grmu_audit import report

    tree = json.loads(files["audit.json"])
    change(tree)
    audit = Audit.from_json(tree)
    made = {**files, "audit.json": canonical_json(audit.to_json()), "report.html": report.render(audit, "html").encode()}
    kept = {k: sha256_hex(v) for k, v in made.items() if k not in ("attestation.dsse.json", "ledger.json", "README.md")}
    made["attestation.dsse.json"] = sign_envelope(verdict_statement(audit, kept), None)
    rows = json.loads(files["ledger.json"])
    entry = json.loads(rows[0]["tags"]["grmu.ledger.entry"])
    assert entry["kind"] == "audit"
    entry |= {"audit_sha256": kept["audit.json"], "attestation_sha256": sha256_hex(made["attestation.dsse.json"])}
    text = canonical_json(entry)
    rows = [
        {"number": 1, "tags": {**rows[0]["tags"], "grmu.ledger.entry": text.decode(), "grmu.ledger.sha256": sha256_hex(text)}}
    ]
    assert check_ledger(audit.subject.name, [(row["number"], row["tags"]) for row in rows])[1] == []
    return {**made, "ledger.json": canonical_json(rows)}


def set_metric(tree: dict[str, Any]) -> None:
    found = next(m for m in tree["metrics"] if m["name"] == "TA" and m["subject"] == "candidate")
    found["value"] = 0.999


def set_rule(tree: dict[str, Any]) -> None:
    tree["verdict"]["rules"][1]["decision"] = "PASS"


def drop_metric(tree: dict[str, Any]) -> None:
    tree["metrics"] = tree["metrics"][1:]


@pytest.mark.parametrize(
    ("change", "said"),
    [(set_metric, "TA candidate: recorded 0.999"), (set_rule, "rule gap is recorded as PASS"), (drop_metric, "is not recorded")],
)
def test_even_a_wholly_rewritten_unsigned_bundle_cannot_hide_another_number(
    unsigned: bytes, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    forged = verify_bundle_bytes(pack(rewritten(unpack(unsigned)[0], change)))
    assert any(said in finding for finding in forged.findings), forged.findings


def test_other_predictions_are_named_even_when_everything_else_is_recreated(unsigned: bytes, folder: Path) -> None:
    from grmu_audit.auditing.stored_predictions import to_parquet

    files = unpack(unsigned)[0]
    better = to_parquet(predictions(200, 102, skill=9.0))
    forged = pack(rewritten({**files, "predictions/candidate.parquet": better}, lambda tree: None))
    findings = verify_bundle_bytes(forged).findings
    assert "predictions of candidate are not those that were audited" in findings
    assert any(finding.startswith("TA candidate") for finding in findings)
