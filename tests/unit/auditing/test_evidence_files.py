"""Files of the evidence of one audit: what there is no record of has no file."""

from __future__ import annotations

from dataclasses import replace

from support.judged_audits import audit_of, inputs_of, policy, predictions

from grmu_audit.auditing.evidence_files import evidence_files
from grmu_audit.records import ModelRef


def test_an_audit_of_data_that_was_not_checked_has_no_quality_report() -> None:
    ref, tables, chosen = ModelRef("faces", "7"), [predictions(100), predictions(101)], policy()
    audit = audit_of(ref, tables, chosen)
    checked, unchecked = (
        evidence_files(one, chosen, inputs_of(ref, tables)) for one in (audit, replace(audit, data_quality=None))
    )
    assert checked.keys() ^ unchecked.keys() == {"data_quality.json"}
    assert b"ids are unique" in checked["data_quality.json"]
    assert [b"ids are unique" in files["report.html"] for files in (checked, unchecked)] == [True, False]
