"""Audit files: written, read back, judged again, and refused when damaged."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from grmu_audit.auditing.audit_files import read_audit, write_audit
from grmu_audit.errors import InputError
from grmu_audit.policy import Policy, load_named
from grmu_audit.policy.judgement import judge
from grmu_audit.records import Decision


def test_the_audit_holds_no_id_and_reads_back(full, tmp_path):
    audit, _ = full
    write_audit(audit, tmp_path / "audit.json")
    text = (tmp_path / "audit.json").read_text()
    assert "person-" not in text
    assert read_audit(tmp_path / "audit.json") == audit
    assert "NaN" not in text


def test_judging_again_gives_the_same_verdict_and_another_policy_another(full, tmp_path):
    audit, _ = full
    write_audit(audit, tmp_path / "audit.json")
    again = read_audit(tmp_path / "audit.json")
    assert judge(again, load_named("default"), date(2026, 6, 1)).verdict == audit.verdict
    strict = Policy.model_validate(
        {"schema": "grmu-audit/policy/v1", "name": "s", "rules": [{"id": "a", "metric": "TA", "min": 1.0}]}
    )
    assert judge(again, strict).verdict.decision is Decision.BREACH
    assert replace(judge(again, strict), verdict=None) == replace(audit, verdict=None)


def test_damaged_audit_files_are_refused(tmp_path):
    for text, message in (
        ("{", "cannot be read as an audit file"),
        ('{"schema": "x"}', "not an audit file"),
        ('{"a": NaN}', "NaN is no number"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_audit(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_audit(tmp_path / "none.json")
