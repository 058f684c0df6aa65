"""Which versions count as references: only another model, retrained without the same forget set, whose record shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.model_inputs import evaluations

from grmu_audit.auditing.bundle_check import verify_bundle
from grmu_audit.data.forget import ForgetSampling
from grmu_audit.errors import InputError
from grmu_audit.evidence.archive import unpack
from grmu_audit.policy import load_named
from grmu_audit.records import ROOT, Decision, ModelRef
from grmu_audit.tracking.names import ROWS_READ
from grmu_audit.tracking.read_once import ReadOnce
from grmu_audit.workflows.audits.collection import AuditSettings
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.audits.stored import export_bundle
from grmu_audit.workflows.audits.target import find_target
from grmu_audit.workflows.forget_requests import sample_forget_list
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 1, "batch_size": 128}
Lineage = tuple[Session, ModelRef, Path]


def test_retrained_versions_of_the_same_forget_set_count(lineage: Lineage) -> None:
    session, ref, _ = lineage
    target = find_target(session, ref.label, ())
    assert [found.label for found in target.references] == ["m/2"]
    assert target.left_out == ()
    assert target.exact is None
    assert find_target(session, ref.label, ["m/2"]).references == target.references


@pytest.mark.parametrize(
    ("named", "reason"),
    [("m/3", "it is the audited version itself"), ("m/1", "it was not retrained"), ("m/4", "for another forget set")],
)
def test_others_are_refused_by_name(lineage: Lineage, named: str, reason: str) -> None:
    session, ref, root = lineage
    if named == "m/4" and len(session.store.versions("m")) < 4:
        sample_forget_list(session.dataset_of(ref), root / "other.csv", ForgetSampling(("0,0",), ratio=0.1))
        unlearn(session, "m/1", root / "other.csv", UnlearnOptions("retrain", SHORT))
    with pytest.raises(InputError, match=reason):
        audit(session, ref.label, load_named("default"), root / "refused", AuditSettings(references=(named,)))


def test_a_retrained_version_is_not_compared_with_one_of_its_own_seed(lineage: Lineage) -> None:
    session, _, _ = lineage
    target = find_target(session, "m/2", ())
    assert target.references == ()
    assert target.exact is not None
    assert target.exact.verified


def test_one_without_a_record_of_its_rows_is_left_out_and_the_audit_says_so(lineage: Lineage, monkeypatch) -> None:
    session, ref, root = lineage
    stored = ReadOnce.run_artifact
    monkeypatch.setattr(ReadOnce, "run_artifact", lambda once, run, name: None if name == ROWS_READ else stored(once, run, name))
    found = audit(session, ref.label, load_named("default"), root / "old").audit
    assert found.references == ()
    assert any(item.name == "reference" and "no record of the rows" in item.reason for item in found.not_measured)
    assert found.verdict.decision is not Decision.PASS
    share = found.metric("FORGET_SHARE")
    assert share.value is None
    assert "no reference model was given" in share.why_missing


def test_an_audit_reads_the_ledger_once_before_it_writes(lineage: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
    session, ref, root = lineage
    reads, entries, opened = [], session.store.entries, session.store.run
    monkeypatch.setattr(session.store, "entries", lambda log: reads.append(log) or entries(log))
    before_it_writes = []
    monkeypatch.setattr(
        session.store, "run", lambda *given, **named: before_it_writes.append(len(reads)) or opened(*given, **named)
    )
    audit(session, ref.label, load_named("default"), root / "counted")
    assert before_it_writes == [1]


def test_a_version_in_a_chain_is_compared_with_the_root_without_a_forward_pass(lineage: Lineage) -> None:
    session, ref, root = lineage
    assert find_target(session, ref.label, ()).root is None
    sample_forget_list(session.dataset_of(ref), root / "next.csv", ForgetSampling(("0,1",), ratio=0.1))
    later = unlearn(session, ref.label, root / "next.csv", UnlearnOptions("cf", SHORT))
    target = find_target(session, later.label, ())
    assert (target.baseline, target.root) == (ref, session.store.resolve("m/1"))
    with evaluations() as seen:
        done = audit(session, later.label, load_named("default"), root / "chain")
    assert seen == []
    found = done.audit
    assert found.root == target.root
    assert [row["version"] for row in found.curves["lineage"]] == ["m/1", ref.label, later.label]
    change = found.metric("TA", ROOT.as_change())
    assert change.value == pytest.approx(found.metric("TA").value - found.metric("TA", ROOT).value)
    assert {rule.id for rule in found.verdict.rules if rule.compare == "root" and rule.applied} == {
        "dominant-group-accuracy-kept-in-lineage", "test-accuracy-kept-in-lineage", "retained-data-kept-in-lineage",
    }  # fmt: skip
    export_bundle(session.store, later.label, root / "chain.zip")
    assert verify_bundle(root / "chain.zip").findings == ()
    assert "predictions/root.parquet" in unpack((root / "chain.zip").read_bytes())[0]
    assert "History of the lineage" in (root / "chain" / "report.html").read_text()
    without_root(session, later, root)


def without_root(session: Session, later: ModelRef, root: Path) -> None:
    """Where the root was deleted, the rules that compare with it decide nothing."""
    session.store._client.delete_model_version("m", "1")  # type: ignore[attr-defined]
    found = audit(session, later.label, load_named("default"), root / "cut").audit
    assert found.root is None
    assert any(item.name == "root" and "m/1 was deleted" in item.reason for item in found.not_measured)
    rules = [rule for rule in found.verdict.rules if rule.compare == "root"]
    assert {rule.decision for rule in rules} == {Decision.INCONCLUSIVE}
    assert all("not measured: root" in rule.reason for rule in rules)
