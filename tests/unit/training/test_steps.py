"""Masks, optimisers, and steps that are split where memory is short."""

from __future__ import annotations

import copy

import pytest
import torch
from support.notes import Notes
from support.tiny import runtime, spec, tiny
from torch.nn import functional

from grmu_audit.data.batches import Batch
from grmu_audit.errors import EnvironmentFailure
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.plan import Hooks, MaskGuard, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.training.steps import gradient, make_optimizer, microbatches


def phase(model: Classifier, size: int = 40, most: int | None = None) -> Phase:
    """A pass over the retain set in eval mode; ``most`` samples fit into the pretended memory."""
    problem = tiny()

    def loss(batch: Batch) -> torch.Tensor:
        if most is not None and len(batch.rows) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return functional.cross_entropy(model.eval()(batch.pixels), batch.target)

    return Phase("retain", lambda: problem.source.batches(problem.data.retain, size), loss, 1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_masked_weights_do_not_move_at_all(optimizer: str) -> None:
    """Neither by gradient nor by weight decay nor by momentum gathered elsewhere."""
    model = build(spec(), 3)
    start = copy.deepcopy(dict(model.named_parameters()))
    generator = torch.Generator().manual_seed(0)
    mask = {name: torch.rand(p.shape, generator=generator) < 0.5 for name, p in model.named_parameters()}
    config = TrainConfig(epochs=3, optimizer=optimizer, learning_rate=0.01, weight_decay=0.1, momentum=0.9)  # type: ignore[arg-type]
    run_epochs(model, lambda epoch: [phase(model)], config, runtime(), Hooks(mask=mask))
    for name, after in model.named_parameters():
        assert torch.equal(after[~mask[name]], start[name][~mask[name]]), name
        if bool(mask[name].any()) and float(start[name].detach().abs().max()) > 0:
            assert not torch.equal(after[mask[name]], start[name][mask[name]]), name


def test_a_mask_of_some_parameters_leaves_the_others_free() -> None:
    model = build(spec(), 3)
    start = model.head.weight.detach().clone()
    other = model.head.bias.detach().clone()
    mask = {"head.weight": torch.zeros_like(start, dtype=torch.bool)}
    run_epochs(model, lambda epoch: [phase(model)], TrainConfig(epochs=1), runtime(), Hooks(mask=mask))
    assert torch.equal(model.head.weight, start)
    assert not torch.equal(model.head.bias, other)


def test_a_silent_entry_has_no_momentum_left() -> None:
    """Once free again, an entry starts from rest: its first step is that of a fresh optimiser."""
    weight = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    holder = torch.nn.Module()
    holder.weight = weight
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    guard = MaskGuard(holder, optimizer, {"weight": torch.tensor([True, False])})
    for _ in range(3):
        weight.grad = torch.ones(2)
        guard.before_step()
        optimizer.step()
        guard.after_step()
    assert weight[1].item() == 1.0
    assert optimizer.state[weight]["momentum_buffer"][1].item() == 0.0
    assert optimizer.state[weight]["momentum_buffer"][0].item() > 1.0


def test_adamw_takes_its_first_step_by_hand() -> None:
    """From rest the bias-corrected Adam step is lr * g / (|g| + eps), and decay is lr * wd * theta."""
    model, same = build(spec(), 1), build(spec(), 1)
    config = TrainConfig(
        epochs=1, optimizer="adamw", learning_rate=0.01, weight_decay=0.1, warmup=0.0, schedule="constant", keep_best=False
    )
    run_epochs(model, lambda epoch: [phase(model, 1000)], config, runtime())
    gradient(same, phase(same), next(iter(phase(same, 1000).batches())), runtime())
    for before, after in zip(same.parameters(), model.parameters(), strict=True):
        slope = before.grad
        assert slope is not None
        expected = before * (1 - 0.01 * 0.1) - 0.01 * slope / (slope.abs() + 1e-8)
        assert torch.allclose(after, expected, atol=1e-6)


def test_a_batch_too_large_for_memory_is_split_into_the_same_gradient() -> None:
    whole, split = build(spec(), 2), build(spec(), 2)
    batch = next(iter(phase(whole, 50).batches()))
    run, notes = runtime(), Notes()
    run.observer = notes
    loss = gradient(whole, phase(whole), batch, runtime())
    assert torch.allclose(gradient(split, phase(split, most=13), batch, run), loss, atol=1e-6)
    for a, b in zip(whole.parameters(), split.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, atol=1e-6)
    assert run.micro_batch == run.notes["micro_batch"] == 12
    assert "steps of 50 samples are now taken in parts of 25" in notes.lines[0]
    assert "in parts of 12 with accumulated gradients" in notes.lines[1]


def test_memory_that_holds_not_even_two_samples_is_an_environment_failure() -> None:
    model = build(spec(), 2)
    with pytest.raises(EnvironmentFailure, match="out of GPU memory with two samples"):
        run_epochs(model, lambda epoch: [phase(model, most=1)], TrainConfig(epochs=1), runtime())


def test_parts_never_leave_a_sample_alone() -> None:
    batch = tiny().source.take(torch.arange(9))
    assert [len(p.rows) for p in microbatches(batch, 4)] == [4, 5]
    assert [len(p.rows) for p in microbatches(batch, 3)] == [3, 3, 3]
    assert [len(p.rows) for p in microbatches(batch, None)] == [9]
    assert torch.equal(torch.cat([p.rows for p in microbatches(batch, 4)]), batch.rows)


def test_dropout_depends_on_the_seed_alone() -> None:
    def trained(run: Runtime) -> torch.Tensor:
        model = build(spec(), 2)
        model.body.append(torch.nn.Dropout(0.5))  # type: ignore[operator]
        plan = [Phase("a", lambda: tiny().source.batches(tiny().data.retain, 40), lambda b: model(b.pixels).square().mean(), 5)]
        run_epochs(model, lambda epoch: plan, TrainConfig(epochs=1), run)
        return model.head.weight.detach().clone()

    torch.manual_seed(1)
    first = trained(runtime(0))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(trained(runtime(0)), first)
    assert not torch.equal(trained(runtime(1)), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_frozen_parameters_get_no_state_in_any_optimizer() -> None:
    model = build(spec(), 2)
    model.head.weight.requires_grad_(False)
    before = model.head.weight.detach().clone()
    config = TrainConfig(epochs=1, optimizer="adamw", weight_decay=0.5)
    run_epochs(model, lambda epoch: [phase(model)], config, runtime())
    assert torch.equal(model.head.weight, before)
    assert not make_optimizer(model, config).state


def test_a_mask_puts_weights_back_before_any_gradient_or_momentum_is_there() -> None:
    holder = torch.nn.Module()
    holder.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = torch.optim.SGD(holder.parameters(), lr=0.1, momentum=0.9)
    guard = MaskGuard(holder, optimizer, {"weight": torch.tensor([True, False])})
    guard.before_step()
    assert holder.weight.grad is None
    with torch.no_grad():
        holder.weight.fill_(9.0)
    guard.after_step()
    assert holder.weight.tolist() == [9.0, 2.0]
    assert not optimizer.state
