"""Audit files: written, read back, judged again, and refused when damaged."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from datetime import date
from pathlib import Path

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
        ('{"a": NaN}', "NaN is not a number"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_audit(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_audit(tmp_path / "none.json")


def _set(tree, value, *path):
    for key in path[:-1]:
        tree = tree[key]
    tree[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("metrics", 0, "statistic", "deff"), 0, "deff is 0"),
        (("metrics", 0, "statistic", "k"), 10**399, "out of range"),
        (("metrics", 0, "statistic"), [], "a statistic is an object"),
        (("metrics", 0, "statistic", "kind"), "none", "unknown kind"),
        (("metrics", 0, "n"), 10**399, "out of range"),
        (("metrics", 0, "value"), "high", "metrics.0.value"),
        (("record", "created"), 3, "record.created"),
        (("record", "expires"), [], "record.expires"),
        (("record", "purged"), "baseline", "record.purged"),
        (("record", "seed"), math.inf, "the number 1e999 is out of range"),
        (("record", "prediction_not_largest"), [1], "record.prediction_not_largest"),
        (("record", "prediction_not_largest"), {"candidate": "1"}, "record.prediction_not_largest"),
        (("curves",), 5, "curves"),
    ],
)
def test_values_that_no_audit_has_are_one_error_that_names_the_file_and_the_key(full, tmp_path, path, value, message):
    tree = full[0].to_json()
    _set(tree, value, *path)
    (tmp_path / "audit.json").write_text(json.dumps(tree).replace("Infinity", "1e999"))
    with pytest.raises(InputError, match=message) as caught:
        judge(read_audit(tmp_path / "audit.json"), load_named("default"), date(2026, 6, 1))
    assert "audit.json" in str(caught.value)


def test_a_device_or_a_pipe_is_no_audit_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(InputError, match=kind):
            read_audit(path)
