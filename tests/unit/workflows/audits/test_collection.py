"""Audits that run the models: what each level adds, what it leaves out, and that a second audit makes no forward pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.judged_audits import version
from support.memory_store import MemoryStore
from support.model_inputs import evaluations
from support.sessions import open_session

from grmu_audit import report
from grmu_audit.auditing.recomputation import recompute
from grmu_audit.cli.observer import ConsoleObserver
from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evaluation import adversarial
from grmu_audit.models.classifier import Classifier
from grmu_audit.policy import load_named
from grmu_audit.records import BASELINE, CANDIDATE, Audit, Group, ModelRef, reference
from grmu_audit.report.charts import build_charts
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.wording.strings import load_strings
from grmu_audit.workflows.audits import collection
from grmu_audit.workflows.audits.collection import MOST_DAYS, AuditSettings, stored_or_new_outputs
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.audits.publication import check_files_unchanged
from grmu_audit.workflows.audits.shadow import MIN_SHADOW_MODELS, ShadowOptions, collect_shadows
from grmu_audit.workflows.audits.target import AuditTarget
from grmu_audit.workflows.session import Session

RETURNED = ("RETURN_ACC", "RETURN_INT8", "RETURN_INT4", "RETURN_PRUNED")


@pytest.fixture(scope="module")
def standard(lineage: tuple[Session, ModelRef, Path]) -> tuple[Audit, int]:
    session, ref, root = lineage
    before = adversarial.STEPS
    adversarial.STEPS = 3  # an audit of three models in seconds
    try:
        done = audit(
            session, ref.label, load_named("default"), root / "standard", AuditSettings(level="standard", return_epochs=2)
        )
    finally:
        adversarial.STEPS = before
    return done.audit, done.forward_passes


def test_quick_asks_no_model_and_says_what_it_leaves_out(lineage: tuple[Session, ModelRef, Path]) -> None:
    session, ref, root = lineage
    with evaluations() as seen:
        done = audit(session, ref.label, load_named("default"), root / "quick")
    assert seen == []
    assert done.forward_passes == 0
    assert [n.name for n in done.audit.not_measured] == [
        "robustness", "layers", "representations", "durability", "AutoAttack", "relearn", "shadow models",
    ]  # fmt: skip
    text = report.render(done.audit, "text")
    assert "level standard measures accuracy under FGSM and PGD" in " ".join(text.split())


def test_standard_adds_values_of_every_side_and_their_changes(standard: tuple[Audit, int]) -> None:
    found, passes = standard
    assert passes > 0
    assert found.record["level"] == "standard"
    assert found.record["evaluations"] > 0
    for name in ("FGSM@0.03137", "PGD@0.03137", "FAIRNESS_GAP", "FAIRNESS_GAP_GROUP", "KNN", "PROBE", "PROTO", *RETURNED):
        for subject in (CANDIDATE, BASELINE, reference(1), BASELINE.as_change(), reference(1).as_change()):
            value = found.metric(name, subject)
            assert value is not None, (name, subject)
            assert value.value is not None, (name, subject, value.why_missing)
    for name in ("CKA", "JS", "ACTIVATION_DISTANCE"):
        assert found.metric(name) is not None
    assert found.metric("FGSM@0.03137", CANDIDATE, Group(1, 0)) is not None
    assert [n.name for n in found.not_measured] == ["AutoAttack", "relearn", "shadow models"]


def test_standard_says_whether_the_forget_set_comes_back(standard: tuple[Audit, int]) -> None:
    found = standard[0]
    for subject in (CANDIDATE, BASELINE, reference(1)):
        value = found.metric("RETURN_ACC", subject)
        assert value is not None
        curve = value.details["curve"]
        assert len(curve) == 3
        assert curve[0][0] == pytest.approx(found.metric("UA", subject).value)  # type: ignore[union-attr]
        assert curve[-1][0] == value.value
    for name in ("WEIGHT_DISTANCE", "LMC_BARRIER"):
        assert [found.metric(name, s) is None for s in (CANDIDATE, BASELINE, reference(1))] == [False, True, False]
    far, near = found.metric("WEIGHT_DISTANCE", reference(1)), found.metric("WEIGHT_DISTANCE")
    assert far is not None
    assert near is not None
    assert 0 < near.value < far.value  # type: ignore[operator]
    share = found.metric("RETURN_SHARE")
    assert share is not None
    assert share.value is not None or "no measurable trace" in str(share.why_missing)
    assert found.record["measured"]["return"]["epochs"] == 2


def test_the_cost_is_said_first_and_the_budget_kept(
    lineage: tuple[Session, ModelRef, Path], standard: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session, ref, root = lineage
    monkeypatch.setattr(session, "observer", ConsoleObserver())
    none = AuditSettings(level="standard", shadows=ShadowOptions(budget=0.0), return_epochs=1)
    done = audit(session, ref.label, load_named("default"), root / "budget", none)
    said = capsys.readouterr().err
    assert "fine-tuning on the retain set, 1 epoch for each version: 3 wanted, 0 stored, 3 to do, about " in said
    assert "budget 0.0 min" in said
    assert "collecting" not in said
    value = done.audit.metric("RETURN_ACC")
    assert value is not None
    assert value.why_missing == "fine-tuning on the retain set did not fit into the budget: audit again to go on"
    assert done.audit.metric("RETURN_INT4").value is not None  # type: ignore[union-attr]
    with pytest.raises(InputError, match="use 1 or more"):
        AuditSettings(return_epochs=0)


def test_the_report_draws_layers_and_radii(standard: tuple[Audit, int]) -> None:
    charts = build_charts(Lookup.of(standard[0]), load_strings(None))
    assert charts["layers"] is not None
    assert charts["return"] is not None
    assert charts["radius"] is not None
    page = report.render(standard[0], "html")
    assert all(f"body.{layer}" in page for layer in ("1", "3.norm1"))


def test_a_repeated_audit_makes_no_forward_pass(lineage: tuple[Session, ModelRef, Path], standard: tuple[Audit, int]) -> None:
    session, ref, root = lineage
    with evaluations() as seen:
        again = audit(
            session,
            ref.label,
            load_named("default").model_copy(update={"name": "another"}),
            root / "again",
            AuditSettings(level="standard", return_epochs=2),
        )
    assert seen == []
    assert (again.forward_passes, again.audit.record["evaluations"]) == (0, 0)
    assert again.audit.metrics == standard[0].metrics


def test_the_counter_sees_a_pass(lineage: tuple[Session, ModelRef, Path]) -> None:
    from support.tiny import tiny

    with evaluations() as seen:
        model: Classifier = tiny().model
        model.features(torch.zeros(3, 3, 32, 32))
    assert 3 in seen


def test_stored_features_hold_no_id_and_only_the_owner_reads_them(
    lineage: tuple[Session, ModelRef, Path], standard: object
) -> None:
    session, _, root = lineage
    files = sorted((root / "measured").rglob("*.npz"))
    assert len(files) == 9  # white box, changed weights, fine-tuning of three versions
    names = session.dataset(DataSpec("photodigits", {"renders": 1})).frame["id"]
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert not any(names.iloc[0].encode() in file.read_bytes() for file in files)


def test_rescoring_takes_measured_values_over_and_says_so_but_no_others(
    lineage: tuple[Session, ModelRef, Path], standard: tuple[Audit, int]
) -> None:
    session, ref, _ = lineage
    from grmu_audit.tracking.audits import read_evidence

    found = standard[0]
    evidence = read_evidence(session.store, ref)
    names = [f"predictions/{side}.parquet" for side in ("candidate", "baseline", "reference-1")] + ["rows_read-reference-1.json"]
    files = {name: session.store.run_artifact(evidence.run_id, name) or b"" for name in names}
    result = recompute(found, load_named("default"), files)
    assert result.findings == ()
    assert any("FGSM@0.03137" in note and "taken over as recorded" in note for note in result.notes)
    forged = tuple(replace(m, value=0.99, details={"measured_with": "model"}) if m.name == "TA" else m for m in found.metrics)
    assert any(
        finding.startswith("TA") for finding in recompute(replace(found, metrics=forged), load_named("default"), files).findings
    )


def test_an_unknown_level_is_named(lineage: tuple[Session, ModelRef, Path]) -> None:
    session, ref, root = lineage
    with pytest.raises(InputError, match=r"no level 'standart' \(did you mean 'standard'\?\)"):
        audit(session, ref.label, load_named("default"), root / "no", AuditSettings(level="standart"))


@pytest.mark.parametrize("days", [0, -1, 3651, 3_000_000, 10**30])
def test_a_verdict_holds_for_one_day_to_ten_years(days: int) -> None:
    with pytest.raises(InputError, match="use 1 to 3650"):
        AuditSettings(valid_days=days)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": "deepest"}, "deepest"),
        ({"valid_days": 0}, f"a verdict cannot hold for 0 days: use 1 to {MOST_DAYS}"),
        ({"valid_days": MOST_DAYS + 1}, f"a verdict cannot hold for {MOST_DAYS + 1} days: use 1 to {MOST_DAYS}"),
        ({"return_epochs": 0}, "0 epochs of fine-tuning on the retain set: use 1 or more"),
        ({"pgd_samples": 0}, "PGD on 0 test samples: use 1 or more, or none for all"),
    ],
)
def test_settings_that_measure_nothing_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        AuditSettings(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"valid_days": 1}, {"valid_days": MOST_DAYS}, {"return_epochs": 1}, {"pgd_samples": 1}])
def test_the_smallest_and_largest_settings_are_taken(options: dict[str, int]) -> None:
    settings = AuditSettings(**options)  # type: ignore[arg-type]
    assert {name: getattr(settings, name) for name in options} == options


def test_files_that_were_changed_since_registration_are_not_used(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    ref, session = version(store, "m", tmp_path / "v1"), open_session(store, tmp_path)
    check_files_unchanged(session, ref)
    next((tmp_path / "store").rglob("state.safetensors")).write_bytes(b"others")
    with pytest.raises(IntegrityError, match="the stored files of m/1 are not the ones that were registered: do not use"):
        check_files_unchanged(session, ref)


def test_too_few_shadow_models_are_said_before_anything_is_trained(tmp_path: Path) -> None:
    session = open_session(MemoryStore(tmp_path / "store"), tmp_path)
    version(session.store, "m", tmp_path / "v1")
    target = AuditTarget.__new__(AuditTarget)  # nothing of it is looked at
    found = collect_shadows(session, target, ShadowOptions(models=MIN_SHADOW_MODELS - 1))
    assert found.table is None
    assert found.why == f"{MIN_SHADOW_MODELS - 1} shadow models were requested; {MIN_SHADOW_MODELS} are needed"
    assert (found.samples, found.facts) == (0, {})


def test_a_new_forward_pass_has_the_recorded_precision_whatever_the_caller_chose(
    lineage: tuple[Session, ModelRef, Path], tmp_path: Path
) -> None:
    session, ref, root = lineage
    stored = stored_or_new_outputs(session, ref, session.dataset_of(ref))
    for chosen in ("auto", "bf16", "fp32"):
        asked = Session(root=root, device="cpu", precision=chosen)
        asked.store, asked.root = session.store, tmp_path / chosen  # type: ignore[misc]
        again = collection._cached_outputs(asked, ref, asked.dataset_of(ref), None)
        assert np.abs(again.logits - stored.logits).max() < 1e-4, chosen
