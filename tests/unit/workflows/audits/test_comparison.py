"""Confidence, positive class and interval method are the policy's, in audits and comparisons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.judged_audits import version
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.cli.app import execute
from grmu_audit.errors import InputError
from grmu_audit.policy import load_named
from grmu_audit.policy.files import policy_label
from grmu_audit.records import CANDIDATE, ModelRef
from grmu_audit.workflows.audits.comparison import compare
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.session import Session

Lineage = tuple[Session, ModelRef, Path]


def test_a_comparison_is_measured_with_the_choices_of_its_policy(lineage: Lineage) -> None:
    session, ref, _ = lineage
    strict = load_named("default").model_copy(update={"confidence": 0.8, "intervals": "clopper-pearson"})
    models = [str(ref.parent), ref.label]
    usual, found = compare(session, models), compare(session, models, strict, seed=3)
    assert [each.options for each in found.audits] == [strict.measure_options(3)] * 2
    assert usual.audits[0].options == load_named("default").measure_options()
    narrow, wide = (each.audits[0].metric("TA", CANDIDATE) for each in (found, usual))
    assert narrow is not None
    assert wide is not None
    assert narrow.value == wide.value
    assert narrow.interval != wide.interval


def test_another_positive_class_than_the_dataset_s_is_refused_before_anything_is_collected(lineage: Lineage) -> None:
    session, ref, root = lineage
    other = load_named("default").model_copy(update={"positive_class": 0})
    said = f"the positive class 1, policy {policy_label(other)} has 0: set 'positive_class: 1' in the policy"
    with pytest.raises(InputError, match=said):
        audit(session, ref.label, other, root / "refused")
    assert not (root / "refused").exists()
    with pytest.raises(InputError, match=said):
        compare(session, [str(ref.parent), ref.label], other)


def test_control_attributes_are_refused_before_anything_is_collected(lineage: Lineage) -> None:
    session, ref, root = lineage
    other = load_named("default").model_copy(update={"control_attributes": ("age",)})
    with pytest.raises(InputError, match=r"names control attributes \(age\): versions store one crossed attribute"):
        audit(session, ref.label, other, root / "refused")
    assert not (root / "refused").exists()


def test_the_command_takes_a_policy_and_exits_2_for_another_positive_class(
    lineage: Lineage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session, ref, _ = lineage
    text = "schema: grmu-audit/policy/v1\nname: other\npositive_class: 0\nrules:\n  - {id: ta, metric: TA, min: 0.1}\n"
    (tmp_path / "other.yaml").write_text(text)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", session.store.uri)
    assert execute(["compare", str(ref.parent), ref.label, "--policy", str(tmp_path / "other.yaml")]) == 2
    said = f"has the positive class 1, policy {policy_label(load_named(tmp_path / 'other.yaml'))} has 0"
    assert said in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused_before_the_data_is_read(tmp_path: Path) -> None:
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    for number in range(2):
        version(session.store, "m", tmp_path / f"v{number}", role="pretrain")
    with pytest.raises(InputError, match="the same version is given twice: compare different versions"):
        compare(session, ["m/1", "m/2", "m/1"])
    with pytest.raises(InputError, match="none of these versions was created for a forget request: there is nothing to compare"):
        compare(session, ["m/1", "m/2"])


def test_the_version_on_other_data_is_not_compared_with_itself_in_the_message(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, ref, _ = lineage
    parent = replace(session.store.resolve(str(ref.parent)), data_digest="0" * 64)
    monkeypatch.setattr(session.store, "resolve", {parent.label: parent, ref.label: ref}.__getitem__)
    with pytest.raises(InputError, match=f"{parent.label}: trained on other data than {ref.label}:"):
        compare(session, [parent.label, ref.label])
