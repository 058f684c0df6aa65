"""Gradient ascent and NegGrad+ by hand."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from support.tiny import result, runtime, tiny
from torch.nn import functional

from grmu_audit.errors import InputError
from grmu_audit.training.inference import infer
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.blocks.passes import forward_frozen_batchnorm
from grmu_audit.unlearning.data import Rows
from grmu_audit.unlearning.methods import methods
from grmu_audit.unlearning.methods.gradient_ascent import GradientAscentConfig


def test_neggrad_plus_is_the_weighted_difference_of_two_gradients() -> None:
    problem = tiny()
    small = replace(problem.data, retain=problem.data.retain[:12], forget=problem.data.forget[:8])
    plain = {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0, "augment": False}
    after = result("neggrad_plus", small, epochs=1, batch_size=12, learning_rate=0.01, balance=0.9, **plain)
    same = copy.deepcopy(problem.model).train()
    retain, forget = (problem.source.take(torch.from_numpy(rows)) for rows in (small.retain, small.forget))
    (0.9 * functional.cross_entropy(same(retain.pixels), retain.target)).backward()
    (-0.1 * functional.cross_entropy(forward_frozen_batchnorm(same, forget.pixels), forget.target)).backward()
    for (name, old), new in zip(same.named_parameters(), after.parameters(), strict=True):
        assert torch.allclose(new, old - 0.01 * old.grad, atol=1e-5), name  # type: ignore[operator]


def test_gradient_ascent_is_one_ascent_step_by_hand() -> None:
    problem = tiny()
    config = GradientAscentConfig(epochs=1, batch_size=100, learning_rate=0.01, momentum=0.0)
    result = apply_method(methods.get("gradient_ascent"), problem.model, problem.data, config, runtime())
    same = copy.deepcopy(problem.model).eval()
    batch = problem.source.take(torch.from_numpy(problem.data.forget))
    functional.cross_entropy(same(batch.pixels), batch.target).backward()
    for before, after in zip(same.parameters(), result.parameters(), strict=True):
        assert torch.allclose(after, before + 0.01 * before.grad, atol=1e-6)  # type: ignore[operator]
    for name, value in result.named_buffers():
        assert torch.equal(value, dict(problem.model.named_buffers())[name]), name


def test_the_stop_rule_of_gradient_ascent_needs_validation_rows() -> None:
    problem = tiny()
    data = replace(problem.data, val=problem.data.val[:0])
    with pytest.raises(InputError, match="stop_at_validation_loss: the dataset has no validation split"):
        apply_method(
            methods.get("gradient_ascent"), problem.model, data, GradientAscentConfig(stop_at_validation_loss=True), runtime()
        )


def loss_of(model: object, rows: Rows) -> float:
    problem = tiny()
    logits = infer(model, problem.source, rows, runtime())  # type: ignore[arg-type]
    return float(functional.cross_entropy(logits, problem.source.target[rows]))


def forget_loss(model: object) -> float:
    return loss_of(model, tiny().data.forget)


def test_gradient_ascent_raises_the_forget_loss_and_its_rule_stops_it() -> None:
    problem = tiny()
    free = apply_method(methods.get("gradient_ascent"), problem.model, problem.data, GradientAscentConfig(epochs=4), runtime())
    assert forget_loss(free) > forget_loss(problem.model)
    stopped = runtime()
    config = GradientAscentConfig(epochs=200, learning_rate=2e-3, stop_at_validation_loss=True)
    apply_method(methods.get("gradient_ascent"), problem.model, problem.data, config, stopped)
    assert 1 <= stopped.notes["stopped_before_epoch"] <= 200


def test_gradient_ascent_below_the_validation_loss_goes_on_to_its_last_epoch() -> None:
    problem, run = tiny(), runtime()
    config = GradientAscentConfig(epochs=2, learning_rate=1e-9, stop_at_validation_loss=True)
    every = problem.source.dataset.rows("test")
    wrong = infer(problem.model, problem.source, every, runtime()).argmax(1) != problem.source.target[every]
    below = replace(problem.data, val=every[wrong.numpy()])
    assert forget_loss(problem.model) < loss_of(problem.model, below.val), "or this shows nothing"
    apply_method(methods.get("gradient_ascent"), problem.model, below, config, run)
    assert "stopped_before_epoch" not in run.notes
    assert run.sample_gradients == 2 * len(problem.data.forget)


def test_a_penalty_on_retain_data_needs_some() -> None:
    data = replace(tiny().data, retain=tiny().data.retain[:0])
    config = GradientAscentConfig(epochs=1, fairness_gap_weight=1.0)
    with pytest.raises(InputError, match="fairness_gap_weight: the penalty is measured on retain data, and the request leaves"):
        apply_method(methods.get("gradient_ascent"), tiny().model, data, config, runtime())
