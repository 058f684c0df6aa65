"""Gradients of samples and their mean."""

from __future__ import annotations

import copy

import torch
from support.tiny import runtime, tiny

from grmu_audit.unlearning.blocks.gradients import mean_gradient, sample_gradients


def test_sample_gradients_average_to_the_mean_gradient() -> None:
    problem = tiny()
    rows = problem.data.retain[:10]
    model = copy.deepcopy(problem.model)
    counted = runtime()
    mean = mean_gradient(model, problem.source.batches(rows, 4), counted)
    parts = list(sample_gradients(model, problem.source.batches(rows, 4), counted, chunk=3))
    assert counted.sample_gradients == 20
    for name, value in mean.items():
        assert torch.allclose(torch.cat([part[name] for part in parts]).mean(0), value, atol=1e-5), name


def test_a_parameter_that_the_network_does_not_use_has_a_gradient_of_zeros() -> None:
    problem = tiny()
    model = copy.deepcopy(problem.model)
    model.body.register_parameter("unused", torch.nn.Parameter(torch.ones(2)))
    mean = mean_gradient(model, problem.source.batches(problem.data.retain[:4], 4), runtime())
    assert mean["body.unused"].tolist() == [0.0, 0.0]
    assert mean["head.weight"].any()
