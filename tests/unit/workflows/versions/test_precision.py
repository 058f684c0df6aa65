"""A precision is measured at the first version, recorded, kept by its lineage, and is one for all models of an audit."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from support.deletions import small_table
from support.memory_store import MemoryStore
from support.sessions import open_session
from support.tiny import spec

from grmu_audit.evaluation import precision_guard
from grmu_audit.models.catalog import build
from grmu_audit.records import ModelRef
from grmu_audit.training import calibration
from grmu_audit.training.runtime import Inference
from grmu_audit.workflows.audits.collection import comparable_outputs
from grmu_audit.workflows.measured_again import check_outputs
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import NetworkChoice
from grmu_audit.workflows.versions.precision import common_precision, inference_runtime, measured_precision, recorded_precision
from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 2, "batch_size": 32}
BF16 = {"fp32 plain": 100.0, "bf16 plain": 300.0}
FP32 = {"fp32 plain": 300.0, "bf16 plain": 100.0}


def config(**values: object) -> ModelRef:
    return ModelRef("m", "1", config=values)


@pytest.mark.parametrize(
    ("ref", "precision"),
    [
        (config(), "fp32"),
        (config(precision="bf16"), "bf16"),
        (config(precision="bf16", inference={"precision": "fp32", "form": "folded"}), "fp32"),
        (config(precision="fp32", inference={"precision": "bf16", "form": "plain"}), "bf16"),
        (config(precision="float8"), "fp32"),
    ],
)
def test_what_a_version_records(ref: ModelRef, precision: str) -> None:
    assert recorded_precision(ref) == precision


def test_models_are_compared_in_bf16_only_where_all_were_predicted_in_it() -> None:
    low, full = config(precision="bf16"), config(precision="fp32")
    assert [common_precision(refs) for refs in ([low, low], [low, full], [full], [])] == ["bf16", "fp32", "fp32", "fp32"]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """One in which every job counts as long, and any difference of bf16 as none."""
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("grmu_audit.data.quality.checks.MINIMUM_GROUP", 1)
    for name in ("SMALLEST_NETWORK", "SHORTEST_JOB"):
        monkeypatch.setattr(calibration, name, 0.0)
    for name in ("MOST_DIFFERENCE", "MOST_FLIPS", "MOST_ACCURACY", "MOST_TIES"):
        monkeypatch.setattr(precision_guard, name, 1.0)
    monkeypatch.setattr(calibration, "_training", lambda *_: {"fp32": 200.0, "bf16": 100.0})
    return open_session(MemoryStore(tmp_path / "store"), tmp_path)


def test_a_lineage_keeps_what_its_first_version_was_measured_to_be_asked_in(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "_inference", lambda *_: BF16)
    (tmp_path / "ids.csv").write_text("id\nr001\nr002\nr003\n")
    base = pretrain(session, "m", small_table(tmp_path / "data").spec, NetworkChoice("mlp"), TrainingOptions(SHORT))
    assert base.config["precision"] == "fp32"
    assert dict(base.config["inference"], near_tie=0) == asdict(Inference("bf16"))  # type: ignore[call-overload]
    assert base.config["calibration"] == {"training": {"fp32": 200.0, "bf16": 100.0}, "inference": BF16}
    assert base.config["precision_guard"]["holds"]  # type: ignore[index]

    monkeypatch.setattr(calibration, "_inference", lambda *_: FP32)
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "another machine"))
    child = unlearn(session, base.label, tmp_path / "ids.csv", UnlearnOptions("retrain", SHORT))
    assert recorded_precision(child) == "bf16"
    assert inference_runtime(session, 0, recorded_precision(child)).without_gradients == Inference("bf16")
    assert check_outputs(session, base) == check_outputs(session, child) > 0

    for name in ("MOST_DIFFERENCE", "MOST_FLIPS"):
        monkeypatch.setattr(precision_guard, name, -1.0)
    refused = unlearn(session, base.label, tmp_path / "ids.csv", UnlearnOptions("retrain", {**SHORT, "learning_rate": 0.02}))
    assert recorded_precision(refused) == "fp32"
    dataset = session.dataset_of(base)
    together = comparable_outputs(session, [base, child], dataset)
    assert [table.forward_passes for table in together] == [0, 0]
    again = comparable_outputs(session, [base, refused], dataset)
    assert [table.forward_passes for table in again] == [1, 0]
    assert np.abs(again[0].logits - together[0].logits).max() > 0
    assert comparable_outputs(session, [base, refused], dataset)[0].forward_passes == 0


def test_a_precision_that_somebody_chose_is_never_measured(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "_inference", lambda *_: pytest.fail("measured"))
    chosen = replace(session, precision="fp32")
    chosen.store = session.store  # type: ignore[misc]
    base = pretrain(chosen, "m", small_table(tmp_path / "data").spec, NetworkChoice("mlp"), TrainingOptions(SHORT))
    assert "inference" not in base.config
    assert base.config["precision"] == "fp32"


@pytest.mark.parametrize(
    ("chosen", "recorded", "wanted"), [("auto", "bf16", "bf16"), ("auto", "fp32", "fp32"), ("fp32", "bf16", "fp32")]
)
def test_the_recorded_precision_counts_unless_another_was_chosen(chosen: str, recorded: str, wanted: str, tmp_path: Path) -> None:
    session = Session(root=tmp_path, device="cpu", precision=chosen)
    assert inference_runtime(session, 3, recorded).without_gradients.precision == wanted


def test_a_chosen_precision_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "calibrate", lambda *given: pytest.fail("it was measured"))
    session = Session(root=tmp_path, device="cpu", precision="fp32")
    runtime = session.runtime(0)
    before = asdict(runtime.without_gradients)
    measured_precision(session, runtime, build(spec(), 0), calibration.Job(10_000), config(precision="bf16"))
    assert asdict(runtime.without_gradients) == before
