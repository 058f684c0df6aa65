from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.tiny import CPU, runtime, spec, tiny
from support.weights import weights_digest
from torch.nn import functional

from grmu_audit.data.batches import Batch
from grmu_audit.errors import DivergedError, EnvironmentFailure, InputError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.config import TrainConfig, learning_rate_factor
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.inference import accuracy, infer
from grmu_audit.training.loop import all_finite, run_epochs
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import choose_device, choose_precision, derive_seed


def trained(seed: int, **settings: object) -> str:
    problem = tiny()
    model = build(spec(), derive_seed(seed, "init"))
    config = TrainConfig(**{"epochs": 2, **settings})  # type: ignore[arg-type]
    fit(model, problem.source, TrainingRows(problem.data.retain, problem.data.val), config, runtime(seed))
    return weights_digest(model)


def test_same_seed_same_weights_other_seed_other_weights() -> None:
    assert trained(0) == trained(0) != trained(1)


def test_training_learns() -> None:
    problem = tiny()
    fresh = build(spec(), derive_seed(0, "init"))
    rows = problem.data.retain
    assert accuracy(problem.model, problem.source, rows, runtime()) > accuracy(fresh, problem.source, rows, runtime()) + 0.1


def test_one_step_is_sgd_by_hand() -> None:
    problem = tiny()
    model = build(spec(), 0)
    same = build(spec(), 0).train()
    config = TrainConfig(
        epochs=1, batch_size=1000, learning_rate=0.1, momentum=0.0, weight_decay=0.01, warmup=0.0, schedule="constant",
        augment=False, keep_best=False,
    )  # fmt: skip
    fit(model, problem.source, TrainingRows(problem.data.retain), config, runtime())
    batch = problem.source.take(torch.from_numpy(problem.data.retain))
    functional.cross_entropy(same(batch.pixels), batch.target).backward()
    for before, after in zip(same.parameters(), model.parameters(), strict=True):
        expected = before - 0.1 * (before.grad + 0.01 * before)  # type: ignore[operator]
        assert torch.allclose(after, expected, atol=1e-5)


def test_best_validation_epoch_is_returned() -> None:
    problem = tiny()
    seen: list[float] = []
    run = runtime()
    run.log = lambda epoch, metrics: seen.append(metrics["val_accuracy"])
    rows = TrainingRows(problem.data.retain, problem.data.val)
    model = fit(build(spec(), 0), problem.source, rows, TrainConfig(epochs=4, learning_rate=0.1), run)
    assert accuracy(model, problem.source, problem.data.val, run) == max(seen)
    assert not model.training


def test_divergence_stops_with_a_message() -> None:
    problem = tiny()
    rows = TrainingRows(problem.data.retain, problem.data.val)
    with pytest.raises(DivergedError, match=r"not finite in epoch .* nothing was registered"):
        fit(build(spec(), 0), problem.source, rows, TrainConfig(epochs=5, learning_rate=1e8), runtime())


def test_phases_run_in_order_and_gradients_are_counted() -> None:
    problem = tiny()
    model = build(spec(), 0)
    order: list[str] = []
    run = runtime()

    def phase(name: str) -> Phase:
        def loss(batch: object) -> torch.Tensor:
            order.append(name)
            return model.head.weight.square().sum()

        return Phase(name, lambda: problem.source.batches(problem.data.forget, 10), loss, 2)

    run_epochs(model, lambda epoch: [phase("a"), phase("b")], TrainConfig(epochs=2, keep_best=False), run)
    assert order == ["a", "a", "b", "b"] * 2
    assert run.sample_gradients == 2 * 2 * 20


def test_inference_restores_the_mode_and_moves_no_statistics() -> None:
    problem = tiny()
    model = build(spec(), 0).train()
    before = weights_digest(model)
    logits = infer(model, problem.source, problem.data.retain, runtime(), size=7)
    assert model.training
    assert weights_digest(model) == before
    assert torch.allclose(logits, infer(model, problem.source, problem.data.retain, runtime(), size=500), atol=1e-5)
    assert math.isnan(accuracy(model, problem.source, np.zeros(0, dtype=np.int64), runtime()))


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_schedule_rises_then_never_rises_again(schedule: str) -> None:
    rates = [learning_rate_factor(step, 50, 0.2, schedule) for step in range(50)]
    assert all(0 < r <= 1 for r in rates)
    assert rates[:10] == sorted(rates[:10])
    assert rates[9] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert (rates[-1] < 0.01) is (schedule == "cosine")


def test_device_and_precision_choices() -> None:
    assert choose_device("cpu") == CPU
    assert choose_precision("auto", CPU) == "fp32"
    assert choose_precision("bf16", CPU) == "bf16"
    for name in ("gpux", "meta", "mps"):
        with pytest.raises(InputError, match="no device that is supported"):
            choose_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(EnvironmentFailure, match="no CUDA device"):
            choose_device("cuda")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(EnvironmentFailure, match="--device cuda:2: CUDA devices here are numbered from 0 to 1"):
        choose_device("cuda:2")


def test_bf16_runs_and_stays_close() -> None:
    problem = tiny()
    low = runtime()
    low.precision = "bf16"
    full = infer(problem.model, problem.source, problem.data.val, runtime())
    half = infer(problem.model, problem.source, problem.data.val, low)
    assert float((full - half).abs().max()) < 0.1
    assert half.dtype == torch.float32


@pytest.mark.parametrize(
    ("value", "finite"), [(1.0, True), (3e38, True), (math.nan, False), (math.inf, False), (-math.inf, False)]
)
@pytest.mark.parametrize("name", ["body.head.weight", "running"])
def test_one_entry_that_is_not_finite_is_found(value: float, finite: bool, name: str) -> None:
    """Two entries, so that infinities could cancel, and sums of finite ones overflow."""
    model = build(spec(), 0)
    entries = next(v for key, v in model.state_dict().items() if key.endswith("running_mean" if name == "running" else "weight"))
    entries.view(-1)[:2] = value
    assert all_finite(model) is finite


def one_step(model: Classifier, hooks: Hooks, **more: object) -> None:
    """A step of plain SGD at a learning rate of 0.1 on the first ten rows to forget."""
    problem = tiny()
    rows = problem.data.forget[:10]

    def loss(batch: Batch) -> torch.Tensor:
        return functional.cross_entropy(model.eval()(batch.pixels), batch.target)

    phase = Phase("a", lambda: problem.source.batches(rows, 10), loss, 1, **more)  # type: ignore[arg-type]
    config = TrainConfig(epochs=1, learning_rate=0.1, momentum=0.0, weight_decay=0.0, keep_best=False)
    run_epochs(model, lambda epoch: [phase], config, runtime(), hooks)


def test_a_method_may_set_the_learning_rate_of_each_step() -> None:
    asked: list[tuple[int, int]] = []

    def quarter(step: int, steps: int) -> float:
        asked.append((step, steps))
        return 0.25

    model, same = build(spec(), 0), build(spec(), 0).eval()
    one_step(model, Hooks(rate=quarter))
    batch = tiny().source.take(torch.from_numpy(tiny().data.forget[:10]))
    functional.cross_entropy(same(batch.pixels), batch.target).backward()
    for before, after in zip(same.parameters(), model.parameters(), strict=True):
        assert torch.allclose(after, before - 0.25 * 0.1 * before.grad, atol=1e-6)  # type: ignore[operator]
    assert asked == [(0, 1)]


def test_a_phase_may_change_weights_after_each_step() -> None:
    model = build(spec(), 0)
    seen: list[list[int]] = []

    def put_back(batch: Batch) -> None:
        seen.append(batch.rows.tolist())
        with torch.no_grad():
            model.head.bias.fill_(7.0)

    one_step(model, Hooks(), after_step=put_back)
    assert seen == [tiny().data.forget[:10].tolist()]
    assert model.head.bias.tolist() == [7.0, 7.0]


def test_a_loss_that_grows_a_thousandfold_ends_the_run_and_one_without_gradient_moves_nothing() -> None:
    model, problem = build(spec(), 0), tiny()
    before = weights_digest(model)

    def run(last: float) -> None:
        def plan(epoch: int) -> list[Phase]:
            value = torch.tensor([2.0, last][epoch])
            return [Phase("a", lambda: problem.source.batches(problem.data.forget, 20), lambda batch: value, 1)]

        run_epochs(model, plan, TrainConfig(epochs=2, keep_best=False), runtime())

    run(2000.0)
    with pytest.raises(DivergedError, match=r"loss_a grew from 2 to -2\.01e\+03 by epoch 2; nothing was registered. Lower"):
        run(-2010.0)
    assert weights_digest(model) == before
