"""What users put into their CI: the scripts run as they stand, and every file they leave is valid and within its limits."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xmlschema
import yaml
from jsonschema import Draft4Validator
from support.audits import ALL

from grmu_audit.auditing import audit_files
from grmu_audit.records import Audit
from grmu_audit.report.formats import render

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "tests" / "schemas"
ANNOTATIONS_OF_A_KIND = 10
COMMENT_BYTES = 64 * 1024
SUMMARY_BYTES = 1024 * 1024


@pytest.fixture(scope="module")
def junit() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd"))


@pytest.fixture(scope="module")
def sarif() -> Draft4Validator:
    return Draft4Validator(json.loads((SCHEMAS / "sarif-2.1.0-rtm.5.json").read_text()))


@pytest.fixture(scope="module", params=sorted(ALL))
def audit(request: pytest.FixtureRequest) -> Audit:
    return ALL[request.param]()


def test_junit_fits_its_schema(audit: Audit, junit: xmlschema.XMLSchema) -> None:
    assert [str(error.reason) for error in junit.iter_errors(render(audit, "junit"))] == []


def test_sarif_fits_its_schema(audit: Audit, sarif: Draft4Validator) -> None:
    assert [error.message for error in sarif.iter_errors(json.loads(render(audit, "sarif")))] == []


def test_a_wrong_document_does_not_fit(junit: xmlschema.XMLSchema, sarif: Draft4Validator) -> None:
    assert not junit.is_valid("<testsuites><testcase/></testsuites>")
    assert not sarif.is_valid({"version": "2.1.0", "runs": [{"results": []}]})


def test_sizes_stay_within_what_the_servers_take(audit: Audit) -> None:
    markdown, annotations = render(audit, "markdown"), render(audit, "github")
    assert len(markdown.encode()) < COMMENT_BYTES < SUMMARY_BYTES
    kinds = [line[2:].partition(" ")[0] for line in annotations.splitlines()]
    assert set(kinds) <= {"error", "warning", "notice"}
    assert max(kinds.count(kind) for kind in set(kinds)) <= ANNOTATIONS_OF_A_KIND


def gate(folder: Path, name: str) -> tuple[int, dict[str, str], str]:
    """Run the script of the action on an audit, with a policy that needs what the audit has."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "grmu-audit"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m grmu_audit "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    audit_files.write_audit(ALL[name](), folder / "audit.json")
    rules = [{"id": "a", "metric": "GA", "min": 0.5, "evidence": "point"}]
    chosen = {"schema": "grmu-audit/policy/v1", "name": "ours", "minimum_group_size": 1, "rules": rules}
    (folder / "our policy.yaml").write_text(yaml.safe_dump(chosen))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB")}
    env = {**kept, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "AUDIT": "audit.json"}
    env |= {"POLICY": "./our policy.yaml", "GITHUB_ACTIONS": "true", "GITHUB_ACTION_PATH": str(ROOT)}
    env |= {"GITHUB_OUTPUT": str(folder / "outputs"), "GITHUB_STEP_SUMMARY": str(folder / "summary")}
    step = next(step for step in action()["runs"]["steps"] if step.get("id") == "gate")
    done = subprocess.run(["bash", "-c", step["run"]], cwd=folder, env=env, capture_output=True, text=True, check=False)
    outputs = dict(line.split("=", 1) for line in (folder / "outputs").read_text().splitlines())
    return done.returncode, outputs, done.stdout + done.stderr


def action() -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return tree


LEAVES = [("pass", 0, "PASS"), ("breach", 1, "BREACH"), ("undefined", 3, "INCONCLUSIVE")]


@pytest.mark.parametrize(("name", "code", "decision"), LEAVES)
def test_the_action_leaves_with_the_code_of_the_gate(
    tmp_path: Path, junit: xmlschema.XMLSchema, sarif: Draft4Validator, name: str, code: int, decision: str
) -> None:
    left, outputs, said = gate(tmp_path, name)
    assert left == code, said
    assert outputs == {"exit-code": str(code), "decision": decision}
    assert f"{decision}" in (tmp_path / "summary").read_text()
    assert "::" in said
    junit.validate(str(tmp_path / "grmu-gate" / "gate.xml"))
    sarif.validate(json.loads((tmp_path / "grmu-gate" / "gate.sarif").read_text()))
    assert json.loads((tmp_path / "grmu-gate" / "gate.json").read_text())["verdict"]["decision"] == decision


def test_nothing_of_an_input_becomes_part_of_a_script() -> None:
    for step in action()["runs"]["steps"]:
        assert "${{" not in step.get("run", ""), "an input inside the script could run as code: pass it through env"
        assert step["shell"] == "bash"
    declared = set(action()["inputs"])
    used = {part.split("}}")[0].strip() for part in (ROOT / "action.yml").read_text().split("${{ inputs.")[1:]}
    assert used <= declared


def test_the_gitlab_template_and_the_example_name_what_the_script_writes() -> None:
    template = yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text())[".grmu-audit-gate"]
    assert template["artifacts"]["reports"]["junit"] == f"{template['variables']['OUTPUT']}/gate.xml"
    assert template["script"] == ["bash ci/gate.sh"]
    example = yaml.safe_load((ROOT / "docs" / "examples" / "unlearning-gate.yml").read_text())
    steps = example["jobs"]["gate"]["steps"]
    ours = next(step for step in steps if step["uses"].startswith("grmu-audit/"))
    assert set(ours["with"]) <= set(action()["inputs"])
    assert any(step.get("with", {}).get("sarif_file") == "grmu-gate/gate.sarif" for step in steps)
