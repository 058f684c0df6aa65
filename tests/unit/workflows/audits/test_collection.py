"""Audits that ask the models: what each level adds, what it leaves out, and that a second audit asks nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from grmu_audit import report
from grmu_audit.auditing.recomputation import recompute
from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evaluation import adversarial, relearning
from grmu_audit.evaluation.output_cache import Shelf, from_bytes, to_bytes
from grmu_audit.evaluation.shadow_models import Pool, Unlearned
from grmu_audit.models.classifier import Classifier
from grmu_audit.policy import load_named
from grmu_audit.records import BASELINE, CANDIDATE, Audit, Group, ModelRef, reference
from grmu_audit.records.white_box import Probes
from grmu_audit.report.charts import build_charts
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.wording.strings import load_strings
from grmu_audit.workflows.audits.collection import AuditSettings
from grmu_audit.workflows.audits.pipeline import audit
from grmu_audit.workflows.audits.shadow import ShadowOptions
from grmu_audit.workflows.forget_requests import sample
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.pretraining import pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 1, "batch_size": 128}


@contextmanager
def evaluations() -> Iterator[list[int]]:
    """Sizes of all batches that any classifier takes meanwhile, whoever asks it."""
    seen: list[int] = []

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
        if isinstance(module, torch.nn.Sequential) and inputs and inputs[0].dim() == 4:
            seen.append(len(inputs[0]))

    handle = torch.nn.modules.module.register_module_forward_hook(count)  # type: ignore[arg-type]
    try:
        yield seen
    finally:
        handle.remove()


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, ModelRef, Path]:
    """A pretrained, a retrained and a fine-tuned version of a short training, and a folder."""
    root = tmp_path_factory.mktemp("levels")
    session = Session(root=root, device="cpu", progress=False)
    base = pretrain(session, "m", DataSpec("photodigits", {"renders": 1}), settings=SHORT)
    sample(session, session.dataset_of(base), root / "ids.csv", groups=[Group(1, 0)], ratio=0.5, seed=0)
    unlearn(session, base.label, root / "ids.csv", method="retrain", settings=SHORT)
    return session, unlearn(session, base.label, root / "ids.csv", method="cf", settings=SHORT), root


@pytest.fixture(scope="module")
def standard(lineage: tuple[Session, ModelRef, Path]) -> tuple[Audit, int]:
    session, ref, root = lineage
    before = adversarial.STEPS
    adversarial.STEPS = 3  # an audit of three models in seconds
    try:
        done = audit(session, ref.label, load_named("default"), root / "standard", AuditSettings(level="standard"))
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
        "robustness", "layers", "representations", "AutoAttack", "relearn", "shadow models",
    ]  # fmt: skip
    text = report.render(done.audit, "text")
    assert "level standard measures accuracy under FGSM and PGD" in " ".join(text.split())


def test_standard_adds_values_of_every_side_and_their_changes(standard: tuple[Audit, int]) -> None:
    found, passes = standard
    assert passes > 0
    assert found.record["level"] == "standard"
    assert found.record["evaluations"] > 0
    for name in ("FGSM@0.03137", "PGD@0.03137", "FAIRNESS_GAP", "FAIRNESS_GAP_GROUP", "KNN", "PROBE", "PROTO"):
        for subject in (CANDIDATE, BASELINE, reference(1), BASELINE.as_change(), reference(1).as_change()):
            value = found.metric(name, subject)
            assert value is not None, (name, subject)
            assert value.value is not None, (name, subject, value.why_missing)
    for name in ("CKA", "JS", "ACTIVATION_DISTANCE"):
        assert found.metric(name) is not None
    assert found.metric("FGSM@0.03137", CANDIDATE, Group(1, 0)) is not None
    assert [n.name for n in found.not_measured] == ["AutoAttack", "relearn", "shadow models"]


def test_the_report_draws_layers_and_radii(standard: tuple[Audit, int]) -> None:
    charts = build_charts(Lookup.of(standard[0]), load_strings(None))
    assert charts["layers"] is not None
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
            AuditSettings(level="standard"),
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
    assert len(files) == 3
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
    names = [f"predictions/{side}.parquet" for side in ("candidate", "baseline", "reference-1")]
    files = {name: session.store.run_artifact(evidence.run_id, name) or b"" for name in names}
    result = recompute(found, load_named("default"), files)
    assert result.findings == ()
    assert any("FGSM@0.03137" in note and "taken over as recorded" in note for note in result.notes)
    forged = tuple(replace(m, value=0.99, details={"measured_with": "model"}) if m.name == "TA" else m for m in found.metrics)
    assert any(
        finding.startswith("TA") for finding in recompute(replace(found, metrics=forged), load_named("default"), files).findings
    )


def test_deep_adds_learning_again_auto_attack_and_shadow_models_and_a_second_one_asks_nothing(
    lineage: tuple[Session, ModelRef, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session, ref, root = lineage
    monkeypatch.setattr(relearning, "RECIPE", relearning.Recipe(runs=2, epochs=1, samples=100))
    monkeypatch.setattr("grmu_audit.evaluation.white_box.MOST_AA", 0)
    monkeypatch.setattr(adversarial, "STEPS", 3)
    monkeypatch.setattr(session, "progress", True)
    policy = load_named("default")
    none = audit(session, ref.label, policy, root / "none", AuditSettings(level="deep", shadows=ShadowOptions(4, budget=0.0)))
    told = capsys.readouterr().err
    assert "shadow models: 4 wanted, 0 kept, 4 to train, about " in told
    assert f"asking {ref.label}: AutoAttack on 0 test samples" in told
    assert f"asking {ref.label}: learning the forget set again, 2 runs of at most 1 short epochs" in told
    assert f"asking {ref.label}: done in " in told
    (missing,) = none.audit.not_measured
    assert "0 of 4 shadow models fitted into the budget" in missing.reason
    four = AuditSettings(level="deep", shadows=ShadowOptions(4))
    done = audit(session, ref.label, policy, root / "deep", four)
    assert done.audit.not_measured == ()
    for name in ("RMIA_AUC", "LIRA_AUC", "ULIRA_AUC", "RULI_AUC", "FORGET_EPS", "KLOM_95", "SWAP"):
        value = done.audit.metric(name)
        assert value is not None, name
        assert (value.interval is None) == (name in ("FORGET_EPS", "KLOM_95")), (name, value.why_missing)
    assert done.audit.metric("RMIA_AUC", BASELINE) is not None
    attacked, again = done.audit.metric("AA@0.03137"), done.audit.metric("RELEARN")
    assert attacked is not None
    assert attacked.why_missing == "no test sample was attacked (n = 0)"
    assert again is not None
    assert len(again.details["curves"]) == 2
    assert again.unit == "epochs"
    report.render(done.audit, "html")
    capsys.readouterr()
    with evaluations() as seen:
        repeated = audit(session, ref.label, policy, root / "deeper", four)
    assert seen == []
    assert repeated.audit.record["evaluations"] == 0
    assert repeated.audit.metrics == done.audit.metrics
    assert "asking" not in capsys.readouterr().err
    left: list[float | None] = []
    monkeypatch.setattr(Unlearned, "fill", lambda bank, count, budget, guess: left.append(budget) or 0)
    filled = Pool.fill
    monkeypatch.setattr(Pool, "fill", lambda *given: time.sleep(0.2) or filled(*given))
    audit(session, ref.label, policy, root / "capped", AuditSettings(level="deep", shadows=ShadowOptions(4, budget=100.0)))
    assert left[0] is not None
    assert 50 < left[0] <= 99.8


def test_an_unknown_level_is_named(lineage: tuple[Session, ModelRef, Path]) -> None:
    session, ref, root = lineage
    with pytest.raises(InputError, match=r"no level 'standart' \(did you mean 'standard'\?\)"):
        audit(session, ref.label, load_named("default"), root / "no", AuditSettings(level="standart"))


def test_a_damaged_measurement_is_made_again_and_never_read(tmp_path: Path) -> None:
    ids = np.array(["a", "b"])
    probes = Probes(ids, {"FGSM@0.1": np.array([1, -1])}, np.zeros((2, 3), np.float32), facts={"seed": 0})
    content = to_bytes(probes)
    assert from_bytes(content, ids).attacked["FGSM@0.1"].tolist() == [1, -1]
    assert to_bytes(from_bytes(content, ids)) == content
    for damaged in (b"", content[:-40], content.replace(b"facts", b"fakts")):
        with pytest.raises(IntegrityError, match="cannot be read"):
            from_bytes(damaged, ids)
    with pytest.raises(IntegrityError, match="not of 1 samples"):
        from_bytes(content, ids[:1])
    shelf = Shelf(tmp_path)
    shelf.write("ab" * 32, probes)
    shelf.path("ab" * 32).write_bytes(b"broken")
    assert shelf.read("ab" * 32, ids) is None
