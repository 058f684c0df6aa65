"""The bill of materials: valid by its library, the numbers of the audit file, nothing that counts few people."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support.measured_audits import measured

from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.policy import load_named
from grmu_audit.policy.judgement import judge
from grmu_audit.records import Audit, Group
from grmu_audit.report.formats import render
from grmu_audit.report.formats.cyclonedx import FAIRNESS


@pytest.fixture(scope="module")
def audit() -> Audit:
    found = measured(example(), example("baseline"), [example("retrained")])
    data = replace(found.data, class_names=("no", "yes"), attribute_names=("a", "b"), splits={"train": 5000, "forget": 228})
    subject = replace(found.subject, manifest_sha256="ab" * 32, architecture="mlp", data_digest="cd" * 32)
    return judge(replace(found, data=data, subject=subject), load_named("default"))


def card(audit: Audit) -> dict:
    return json.loads(render(audit, "cyclonedx"))["metadata"]["component"]["modelCard"]


def test_the_document_is_valid_and_the_same_each_time(audit: Audit) -> None:
    text = render(audit, "cyclonedx")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert text == render(audit, "cyclonedx")
    tree = json.loads(text)
    assert tree["specVersion"] == "1.6"
    facts = {p["name"]: p["value"] for p in tree["metadata"]["component"]["properties"]}
    assert facts["grmu-audit:verdict"] == audit.verdict.decision.value
    assert facts["grmu-audit:policy-sha256"] == audit.verdict.policy_sha256


def test_every_number_is_that_of_the_audit_file(audit: Audit) -> None:
    """Read from both as text: value, interval, slice, and none left out that may be shown."""
    written = json.loads(render(audit, "json"))["metrics"]
    names = {count.group: count.name for count in audit.data.groups}
    expected = {}
    for value in written:
        if value["subject"] != "candidate" or value["value"] is None or min(value["n"], value["smallest_cell"] or value["n"]) < 5:
            continue
        group = names[Group(value["group"]["target"], value["group"]["attribute"])] if value["group"] else ""
        expected[value["name"], group] = (value["value"], value["interval"])
    found = {}
    for metric in card(audit)["quantitativeAnalysis"]["performanceMetrics"]:
        limits = metric.get("confidenceInterval")
        interval = [float(limits["lowerBound"]), float(limits["upperBound"])] if limits else None
        found[metric["type"], metric["slice"].partition("; group ")[2]] = (float(metric["value"]), interval)
    assert found == expected
    assert len(found) > 30


def test_fairness_names_the_groups_at_risk_and_every_gap(audit: Audit) -> None:
    said = card(audit)["considerations"]["fairnessAssessments"]
    text = " ".join(one["harms"] for one in said)
    defined = [v.name for v in audit.metrics if str(v.subject) == "candidate" and v.name in FAIRNESS and v.value is not None]
    assert defined
    assert all(f"({name})" in text for name in defined)
    assert any(one["groupAtRisk"] != "all groups" for one in said)


def test_values_of_few_people_are_left_out(audit: Audit) -> None:
    few = replace(audit, forget=replace(audit.forget, count=3))
    parts = {metric["slice"].partition(";")[0] for metric in card(few)["quantitativeAnalysis"]["performanceMetrics"]}
    assert not parts & {"forget", "retain"}
    assert "test" in parts
    data = card(few)["modelParameters"]["datasets"][0]["contents"]["properties"]
    assert not [p for p in data if p["name"].endswith((":retain", ":forget"))]


def test_an_audit_without_a_verdict_and_with_hostile_names_is_valid(audit: Audit) -> None:
    plain = replace(
        audit, verdict=None, subject=replace(audit.subject, name="a\x00b<script>" * 50), data=replace(audit.data, name="")
    )
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(render(plain, "cyclonedx")) is None


def test_what_is_not_recorded_has_no_key(audit: Audit) -> None:
    bare = tuple(replace(value, interval=None) if value.name == "TA" else value for value in audit.metrics)
    found = card(replace(audit, metrics=bare, subject=replace(audit.subject, architecture=None)))
    assert "modelArchitecture" not in found["modelParameters"]
    assert card(audit)["modelParameters"]["modelArchitecture"] == "mlp"
    metrics = found["quantitativeAnalysis"]["performanceMetrics"]
    limits = {metric["type"]: "confidenceInterval" in metric for metric in metrics if metric["type"] in ("TA", "GA")}
    assert limits == {"TA": False, "GA": True}


def test_a_group_at_risk_that_was_not_measured_is_not_named(audit: Audit) -> None:
    def at_risk(found: Audit) -> list[str]:
        named = [one["groupAtRisk"] for one in card(found)["considerations"]["fairnessAssessments"]]
        return [name for name in named if name != "all groups"]

    (group,) = audit.forget.dominant_groups
    assert len(at_risk(audit)) == 1
    hidden = tuple(replace(v, value=None) if v.name == "accuracy" and v.group == group else v for v in audit.metrics)
    assert at_risk(replace(audit, metrics=hidden)) == []


def test_a_document_that_would_not_be_valid_is_refused_with_the_validators_words(audit: Audit) -> None:
    damaged = replace(audit, subject=replace(audit.subject, manifest_sha256="no digest"))
    with pytest.raises(InputError, match=r"the bill of materials of m/.* is not valid: .*no digest"):
        render(damaged, "cyclonedx")


def test_without_the_library_the_message_says_what_to_install(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cyclonedx"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    with pytest.raises(EnvironmentFailure, match=r"install grmu-audit\[bom\]"):
        render(audit, "cyclonedx")
