"""An audit file at the gate: compared with the store where there is one, named unverified where not."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from support.judged_audits import audit_of, audited, policy, policy_file, predictions, version
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit import report
from grmu_audit.auditing.audit_files import write_audit
from grmu_audit.cli.app import execute
from grmu_audit.errors import IntegrityError
from grmu_audit.evidence.attestation import verdict_statement
from grmu_audit.policy import policy_sha256
from grmu_audit.records import UNVERIFIED, Decision, ModelRef
from grmu_audit.tracking import Requirements
from grmu_audit.workflows.release import gate_file, promote, rollback, verify
from grmu_audit.workflows.session import Session

PAST = {"created": "2023-01-01T00:00:00Z", "expires": "2024-01-01T00:00:00Z"}


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(tmp_path / "store")


def test_the_recorded_file_is_judged_and_every_other_one_refused(store: MemoryStore, tmp_path: Path) -> None:
    ref = version(store, "faces", tmp_path / "v")
    session, path = open_session(store, tmp_path), tmp_path / "audit.json"
    made = audited(store, ref, [predictions(100)], policy())
    write_audit(made, path)
    assert UNVERIFIED not in [item.name for item in gate_file(session, path, policy()).not_measured]
    text = path.read_text()
    path.write_text(text.replace('"note"', '"Note"') + " ")
    with pytest.raises(IntegrityError, match="not the newest audit of faces/1"):
        gate_file(session, path, policy())
    path.write_text(text)
    audited(store, ref, [predictions(101)], policy())
    with pytest.raises(IntegrityError, match="not the newest audit of faces/1"):
        gate_file(session, path, policy())


def test_a_version_that_the_store_does_not_know_is_no_audit_of_it(store: MemoryStore, tmp_path: Path) -> None:
    version(store, "faces", tmp_path / "v")
    for number in ("1", "7"):
        write_audit(audit_of(ModelRef("faces", number), [predictions(100)], policy()), tmp_path / "audit.json")
        with pytest.raises(IntegrityError, match="not an audit that the store holds"):
            gate_file(open_session(store, tmp_path), tmp_path / "audit.json", policy())


@pytest.mark.parametrize("ref", [ModelRef("predictions", ""), ModelRef("others", "3")])
def test_what_no_store_knows_is_called_unverified_in_every_format(store: MemoryStore, tmp_path: Path, ref: ModelRef) -> None:
    write_audit(audit_of(ref, [predictions(100)], policy()), tmp_path / "audit.json")
    judged = gate_file(open_session(store, tmp_path), tmp_path / "audit.json", policy())
    for kind in ("text", "html", "markdown", "junit", "sarif", "github", "json"):
        assert re.search("unverified[ _]?file", report.render(judged, kind), re.I), kind


def test_an_expired_file_stays_expired_whatever_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1680000000")
    (tmp_path / "p.yaml").write_text(
        "{schema: grmu-audit/policy/v1, name: p, minimum_group_size: 1, rules: [{id: a, metric: TA, min: 0.3, evidence: point}]}"
    )
    line = ["gate", "--audit", "audit.json", "--policy", "p.yaml"]
    write_audit(audit_of(ModelRef("faces", "7"), [predictions(100)], policy(), **PAST), tmp_path / "audit.json")
    assert execute(line) == 6
    assert "expired on 2024-01-01" in capsys.readouterr().err
    write_audit(
        audit_of(ModelRef("faces", "7"), [predictions(100)], policy(), created="2999-01-01T00:00:00Z"), tmp_path / "audit.json"
    )
    assert execute(line) == 6
    assert "in the future" in capsys.readouterr().err
    write_audit(audit_of(ModelRef("faces", "7"), [predictions(100)], policy()), tmp_path / "audit.json")
    assert execute(line) == 0
    assert "Unverified file: no store was found" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "mlruns").exists()


def test_a_verdict_counts_by_a_listed_or_named_policy_alone(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRMU_AUDIT_POLICIES", raising=False)
    ref, session, chosen = version(store, "faces", tmp_path / "v"), open_session(store, tmp_path), policy()
    audited(store, ref, [predictions(100)], chosen)
    label = f"test@{policy_sha256(chosen)[:12]}"
    with pytest.raises(IntegrityError, match=f"by policy {label}, which is not among the policies that count .default@"):
        promote(session, ref.label)
    with pytest.raises(IntegrityError, match=f"another policy than the one required .*: {label}"):
        promote(session, ref.label, requirements=Requirements.read(policy(0.4)))
    monkeypatch.setenv("GRMU_AUDIT_POLICIES", policy_file(chosen, tmp_path))
    assert promote(session, ref.label).changed
    monkeypatch.delenv("GRMU_AUDIT_POLICIES")
    assert verify(session, "faces") == []
    after_it_was_champion(store, session, tmp_path)


def test_a_promotion_by_a_policy_that_repeats_nothing_loads_no_network(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "grmu_audit.workflows.measured_again"
    monkeypatch.setitem(sys.modules, module, None)  # an import of it fails
    session = open_session(store, tmp_path)
    for number, chosen in enumerate((policy(), policy(outputs="repeated")), 1):
        audited(store, version(store, "faces", tmp_path / f"v{number}"), [predictions(100)], chosen)
    assert promote(session, "faces/1", requirements=Requirements.read(policy())).changed
    with pytest.raises(ImportError, match=module):
        promote(session, "faces/2", requirements=Requirements.read(policy(outputs="repeated")))


def after_it_was_champion(store: MemoryStore, session: Session, folder: Path) -> None:
    """A version that was champion by a policy may be champion again by it, and by no other that is not listed."""
    other = version(store, "faces", folder / "other")
    audited(store, other, [predictions(100)], policy())
    assert promote(session, other.label, requirements=Requirements.read(policy())).changed
    assert rollback(session, "faces", "complaints").ref.version == "1"
    assert promote(session, other.label).changed
    audited(store, store.resolve("faces/1"), [predictions(100)], policy(0.2))
    with pytest.raises(IntegrityError, match="not among the policies"):
        rollback(session, "faces", "complaints")


def test_readers_see_a_policy_by_its_digest(tmp_path: Path) -> None:
    chosen = policy()
    made = audit_of(ModelRef("faces", "7"), [predictions(100)], chosen)
    label = f"test@{policy_sha256(chosen)[:12]}"
    for kind in ("text", "html", "markdown", "junit", "github", "model-card"):
        assert label in report.render(made, kind).replace("\u200b", ""), kind  # markdown keeps "@" from mentioning anybody
    assert label in repr(made.verdict)


def test_a_rule_that_informs_counts_for_nothing(tmp_path: Path) -> None:
    rules = [*policy().model_dump(mode="json")["rules"][:1], {"id": "shown", "metric": "TA", "max": 0.01, "severity": "inform"}]
    made = audit_of(ModelRef("faces", "7"), [predictions(100)], policy(rules=rules))
    assert made.verdict is not None
    assert made.verdict.decision is Decision.PASS
    statement = json.loads(verdict_statement(made, {}))["predicate"]
    assert (statement["result"], statement["warnedTests"]) == ("PASSED", [])
    assert "for information: BREACH" in report.render(made, "junit")
    assert "shown" not in report.render(made, "github")
    assert '"kind": "informational"' in report.render(made, "sarif")
