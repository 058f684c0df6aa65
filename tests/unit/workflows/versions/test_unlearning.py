"""From request to version: the router, resume, and nothing registered after a failure."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.memory_store import MemoryStore

from grmu_audit.errors import DivergedError, EnvironmentFailure
from grmu_audit.models.catalog import build
from grmu_audit.records import ModelRef
from grmu_audit.training.checkpoint import Checkpoints
from grmu_audit.training.runtime import derive_seed
from grmu_audit.unlearning.methods import methods
from grmu_audit.workflows.forget_requests import ForgetSampling, sample_forget_list
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.method_choice import UnlearnOptions
from grmu_audit.workflows.versions.network import load_network
from grmu_audit.workflows.versions.unlearning import unlearn

SHORT = {"epochs": 2, "batch_size": 128}


def test_auto_picks_by_the_request_and_the_record_says_why(session: Session, base: tuple[MemoryStore, ModelRef, Path]) -> None:
    ref = unlearn(session, base[1].label, base[2], UnlearnOptions("auto", {**SHORT, "layers": 1}))
    assert (ref.method, ref.reweight) == ("shrink", True)
    router = ref.config["router"]
    assert isinstance(router, dict)
    assert router["kind"] == "group"
    assert "total variation" in router["why"]
    settings = ref.config["settings"]
    assert isinstance(settings, dict)
    assert settings["layers"] == "1"
    assert set(settings) == set(methods.get("shrink").config.model_fields)


def test_an_interrupted_run_is_found_again_by_its_options(
    session: Session, base: tuple[MemoryStore, ModelRef, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up after the first epoch; the second attempt goes on and makes the same weights as a whole run."""
    whole = unlearn(session, base[1].label, base[2], UnlearnOptions(settings=SHORT, keep_collapsed=True))
    folder = session.root / "checkpoints"
    assert not list(folder.glob("*/*"))
    save, saved = Checkpoints.save, []

    def full(self: Checkpoints, *args: object) -> None:
        if saved:
            raise EnvironmentFailure("disk full")
        saved.append(1)
        save(self, *args)  # type: ignore[arg-type]

    count = len(session.store.versions("m"))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", full)
        with pytest.raises(EnvironmentFailure, match="disk full"):
            unlearn(session, base[1].label, base[2], UnlearnOptions(settings=SHORT, keep_collapsed=True))
    assert len(session.store.versions("m")) == count
    assert len(list(folder.glob("*/*.safetensors"))) == 1
    other = unlearn(
        session, base[1].label, base[2], UnlearnOptions(settings={**SHORT, "keep": 0.5}, resume=True, keep_collapsed=True)
    )
    assert "resumed_after_epoch" not in other.config
    again = unlearn(session, base[1].label, base[2], UnlearnOptions(settings=SHORT, resume=True, keep_collapsed=True))
    assert again.config["resumed_after_epoch"] == [1]
    assert state(session, again) == state(session, whole) != state(session, other)
    assert not list(folder.glob("*/*"))


def state(session: Session, ref: ModelRef) -> bytes:
    """The version's weights as stored."""
    folder = session.root / f"v{ref.version}"
    return (session.store.fetch(ref, folder) / "state.safetensors").read_bytes()


def test_divergence_registers_nothing_and_leaves_no_checkpoint(
    session: Session, base: tuple[MemoryStore, ModelRef, Path]
) -> None:
    count = len(session.store.versions("m"))
    with pytest.raises(DivergedError, match="nothing was registered"):
        unlearn(session, base[1].label, base[2], UnlearnOptions("cf", {**SHORT, "learning_rate": 1e9, "warmup": 0.0}))
    assert len(session.store.versions("m")) == count
    assert not list((session.root / "checkpoints").glob("*/*"))


def test_shrink_goes_back_to_what_training_started_from_whatever_the_seed_of_the_run(
    session: Session, base: tuple[MemoryStore, ModelRef, Path], tmp_path: Path
) -> None:
    whole = {"keep": 0.0, "epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
    back = unlearn(session, base[1].label, base[2], UnlearnOptions("shrink", whole, seed=9, keep_collapsed=True))
    assert back.settings["start_seed"] == base[1].seed
    cpu = torch.device("cpu")
    model = load_network(session, back, cpu)
    start = build(model.spec, derive_seed(base[1].seed or 0, "init"))
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, dict(start.named_parameters())[name], atol=1e-6, rtol=0)
    again = unlearn(session, base[1].label, base[2], UnlearnOptions("retrain", SHORT, seed=5))
    sample_forget_list(session.dataset_of(base[1]), tmp_path / "more.csv", ForgetSampling(("0,1",)))
    next_one = unlearn(session, again.label, tmp_path / "more.csv", UnlearnOptions("shrink", SHORT, keep_collapsed=True))
    assert next_one.settings["start_seed"] == 5
