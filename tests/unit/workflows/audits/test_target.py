"""Which versions count as references: only another model, retrained without the same forget set, whose record shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from grmu_audit.data.forget import ForgetSampling
from grmu_audit.errors import InputError
from grmu_audit.policy import load_named
from grmu_audit.records import Decision, ModelRef
from grmu_audit.tracking.names import ROWS_READ
from grmu_audit.workflows.audits.collection import AuditSettings
from grmu_audit.workflows.audits.pipeline import audit
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
    stored = session.store.run_artifact
    monkeypatch.setattr(session.store, "run_artifact", lambda run, name: None if name == ROWS_READ else stored(run, name))
    found = audit(session, ref.label, load_named("default"), root / "old").audit
    assert found.references == ()
    assert any(item.name == "reference" and "no record of the rows" in item.reason for item in found.not_measured)
    assert found.verdict.decision is not Decision.PASS
    share = found.metric("FORGET_SHARE")
    assert share.value is None
    assert "no reference model was given" in share.why_missing
