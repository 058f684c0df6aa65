"""Passes that several methods share, by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from support import data_kinds
from support.tiny import runtime, tiny

from grmu_audit.unlearning.blocks.passes import distillation, forward_frozen_batchnorm, forward_mixed_with_retain
from grmu_audit.unlearning.methods import methods


def test_distillation_scales_with_temperature_and_its_gradient_is_t_times_the_difference() -> None:
    teacher, student = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 0.5], [1.0, 0.0]], requires_grad=True)
    t = 4.0
    p, q = torch.softmax(teacher / t, 1), torch.softmax(student.detach() / t, 1)
    loss = distillation(teacher, student, t)
    assert float(loss.detach()) == pytest.approx(float(t * t * (p * (p / q).log()).sum(1).mean()), rel=1e-5)
    loss.backward()
    assert student.grad is not None
    assert torch.allclose(student.grad, t * (q - p) / 2, atol=1e-6)


def test_at_rest_normalises_by_the_batch_and_writes_nothing_down() -> None:
    model = copy.deepcopy(tiny().model)
    pixels = tiny().source.take(torch.arange(8)).pixels
    kept = {name: value.clone() for name, value in model.named_buffers()}
    rested = forward_frozen_batchnorm(model, pixels)
    assert all(torch.equal(value, kept[name]) for name, value in model.named_buffers())
    assert torch.equal(forward_frozen_batchnorm(model, pixels[:1]), model.eval()(pixels[:1]))
    assert torch.allclose(rested, copy.deepcopy(model).train()(pixels))
    assert not torch.allclose(rested, model.eval()(pixels))
    forward_frozen_batchnorm(model, pixels, published=True)
    assert any(not torch.equal(value, kept[name]) for name, value in model.named_buffers())


def test_forget_batches_are_normalised_together_with_as_many_retain_samples() -> None:
    problem, counted = tiny(), runtime()
    config = methods.get("rl").config(batch_size=16, augment=False)
    model = copy.deepcopy(problem.model)
    kept = {name: value.clone() for name, value in model.named_buffers()}
    pixels = problem.source.take(torch.from_numpy(problem.data.forget[:5])).pixels
    found = forward_mixed_with_retain(model, problem.data, config, counted, 0)(pixels)
    mixed = next(problem.data.retain_batches(16, runtime().generator("company", 0, 0), augment=False))
    assert not set(mixed.rows.tolist()) & set(problem.data.forget.tolist())
    together = copy.deepcopy(model).train()(torch.cat([pixels, mixed.pixels[:5]]))[:5]
    assert torch.allclose(found, together)
    assert counted.sample_gradients == 5
    assert all(torch.equal(value, kept[name]) for name, value in model.named_buffers())
    assert not torch.allclose(found, forward_frozen_batchnorm(model, pixels))


def test_forget_batches_go_alone_where_there_is_no_batch_normalisation() -> None:
    problem = data_kinds.family("small_vit")
    counted, config = runtime(), methods.get("rl").config(batch_size=16, augment=False)
    pixels = problem.source.take(torch.from_numpy(problem.data.forget[:5])).pixels
    torch.manual_seed(0)  # of dropout
    alone = copy.deepcopy(problem.model).train()(pixels)
    torch.manual_seed(0)
    assert torch.equal(forward_mixed_with_retain(copy.deepcopy(problem.model), problem.data, config, counted, 0)(pixels), alone)
    assert counted.sample_gradients == 0
