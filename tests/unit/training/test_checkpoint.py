"""Interrupted training continues to the same bytes; damaged or foreign checkpoints are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny import runtime, spec, tiny
from support.weights import weights_digest

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import DivergedError, EnvironmentFailure, IntegrityError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.checkpoint import Checkpoints
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime, derive_seed


class InterruptedRunError(Exception):
    """Stands for whatever ends a process."""


class Fragile(BatchSource):
    """Breaks at the n-th batch."""

    def __init__(self, source: BatchSource, last: int) -> None:
        super().__init__(source.dataset, source.device)
        self.left = last

    def take(self, rows: torch.Tensor, generator: torch.Generator | None = None):  # type: ignore[no-untyped-def]
        self.left -= 1
        if self.left < 0:
            raise InterruptedRunError
        return super().take(rows, generator)


def train(source: BatchSource, run: Runtime, **settings: object) -> Classifier:
    problem = tiny()
    config = TrainConfig(**{"epochs": 4, "batch_size": 32, "learning_rate": 0.1, **settings})  # type: ignore[arg-type]
    return fit(build(spec(), derive_seed(0, "init")), source, TrainingRows(problem.data.retain, problem.data.val), config, run)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("keep_best", [True, False])
def test_a_run_broken_at_any_step_ends_with_the_same_weights(tmp_path: Path, optimizer: str, keep_best: bool) -> None:
    rng = np.random.default_rng([int(keep_best), len(optimizer)])
    settings = {"optimizer": optimizer, "keep_best": keep_best, "learning_rate": 0.1 if optimizer == "sgd" else 0.003}
    whole = runtime()
    log: list[dict[str, float]] = []
    whole.log = lambda epoch, metrics: log.append(dict(metrics))
    expected = weights_digest(train(tiny().source, whole, **settings))
    broken = runtime()
    broken.checkpoints = Checkpoints(tmp_path, "k")
    with pytest.raises(InterruptedRunError):
        train(Fragile(tiny().source, int(rng.integers(10, 30))), broken, **settings)
    assert broken.checkpoints.found()
    again = runtime()
    again.checkpoints = Checkpoints(tmp_path, "k", resume=True)
    relogged: list[dict[str, float]] = []
    again.log = lambda epoch, metrics: relogged.append(dict(metrics))
    assert weights_digest(train(tiny().source, again, **settings)) == expected
    assert relogged == log
    assert again.sample_gradients == whole.sample_gradients
    assert again.notes["resumed_after_epoch"][-1] >= 1


def interrupted(folder: Path, last: int = 20) -> Checkpoints:
    run = runtime()
    run.checkpoints = Checkpoints(folder, "k")
    with pytest.raises(InterruptedRunError):
        train(Fragile(tiny().source, last), run)
    return Checkpoints(folder, "k", resume=True)


def test_without_resume_it_starts_afresh(tmp_path: Path) -> None:
    kept = interrupted(tmp_path)
    assert Checkpoints(tmp_path, "k").load(0) is None
    assert kept.load(0) is not None
    kept.path(0).rename(kept.path(2))  # a run that retrains members 2 and 5 of an ensemble has no stage 0
    assert kept.found()
    kept.clear()
    assert not kept.found()
    assert kept.load(0) is None


def test_the_file_is_safetensors_with_json_and_no_temporary_file_stays(tmp_path: Path) -> None:
    interrupted(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["stage0.safetensors"]
    content = (tmp_path / "stage0.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    progress = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["progress"])
    assert progress["key"] == "k"
    assert len(progress["history"]) == progress["epoch"] >= 1
    assert (tmp_path / "stage0.safetensors").stat().st_mode & 0o077 == 0


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    interrupted(tmp_path)
    run = runtime()
    run.checkpoints = Checkpoints(tmp_path, "other", resume=True)
    with pytest.raises(IntegrityError, match="belongs to another run"):
        train(tiny().source, run)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    kept = interrupted(tmp_path)
    path = kept.path(0)
    path.write_bytes(path.read_bytes()[:-10])
    run = runtime()
    run.checkpoints = kept
    with pytest.raises(IntegrityError, match="cannot be read"):
        train(tiny().source, run)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    kept = interrupted(tmp_path)
    saved = kept.load(0)
    assert saved is not None
    tensors = {name: value for name, value in saved.tensors.items() if name != "model.head.weight"}
    Checkpoints(tmp_path, "k").save(0, tensors, {k: v for k, v in saved.progress.items() if k != "key"})
    run = runtime()
    run.checkpoints = kept
    with pytest.raises(IntegrityError, match="does not fit"):
        train(tiny().source, run)


def test_a_diverged_epoch_is_never_stored(tmp_path: Path) -> None:
    run = runtime()
    run.checkpoints = Checkpoints(tmp_path, "k")
    with pytest.raises(DivergedError):
        train(tiny().source, run, learning_rate=1e8, warmup=0.0)
    for path in tmp_path.glob("*.safetensors"):
        saved = Checkpoints(tmp_path, "k", resume=True).load(int(path.stem.removeprefix("stage")))
        assert saved is not None
        assert all(bool(torch.isfinite(value).all()) for value in saved.part("model").values())


def test_an_unwritable_folder_is_said_at_once(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    run = runtime()
    run.checkpoints = Checkpoints(blocked / "below", "k")
    with pytest.raises(EnvironmentFailure, match="cannot write"):
        train(tiny().source, run)


class Counted:
    """What a method may carry between epochs: here how many there were."""

    def __init__(self) -> None:
        self.epochs = torch.zeros(1, dtype=torch.int64)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        self.epochs = state["epochs"].clone()

    def add(self, epoch: int) -> None:
        self.epochs += 1


def test_what_a_method_carries_between_epochs_continues(tmp_path: Path) -> None:
    problem, counted = tiny(), [Counted(), Counted()]
    for number, (carried, source) in enumerate(zip(counted, (Fragile(problem.source, 5), problem.source), strict=True)):
        run = runtime()
        run.checkpoints = Checkpoints(tmp_path, "k", resume=bool(number))
        model = build(spec(), 0)

        def plan(epoch: int, source: BatchSource = source, model: Classifier = model) -> list[Phase]:
            rows = problem.data.forget
            return [Phase("a", lambda: source.batches(rows, 10), lambda batch: model(batch.pixels).square().mean(), 2)]

        hooks = Hooks(state=carried, after_epoch=carried.add)
        with nullcontext() if number else pytest.raises(InterruptedRunError):
            run_epochs(model, plan, TrainConfig(epochs=4, keep_best=False), run, hooks)
    assert [int(one.epochs) for one in counted] == [2, 4]
