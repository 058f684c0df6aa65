"""SSD and influence functions by hand."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from support.tiny import result, runtime, tiny
from torch import nn
from torch.nn import functional

from grmu_audit.training.inference import infer
from grmu_audit.unlearning.blocks.gradients import mean_gradient, sample_gradients
from grmu_audit.unlearning.methods.weight_editing import (
    SsdConfig,
    all_samples,
    dampening,
    flat_each,
    importance,
    published,
    woodbury,
)


def test_ssd_dampens_by_its_rule_only() -> None:
    config = SsdConfig(strength=0.5)
    whole, forget = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([2.0, 4.0, 3.0, 0.0])
    assert dampening(whole, forget, 2.0, config).tolist() == [1.0, 0.125, 0.0, 1.0]
    strong = SsdConfig(strength=100.0)
    assert dampening(whole, forget, 2.0, strong).tolist() == [1.0, 1.0, 0.0, 1.0]


def test_ssd_importance_is_the_mean_squared_gradient_of_samples_or_of_batch_means() -> None:
    problem = tiny()
    model, rows = copy.deepcopy(problem.model), problem.data.forget[:6]
    each = [mean_gradient(model, problem.source.batches(rows[i : i + 1], 1), runtime())["head.weight"] for i in range(6)]
    found = importance(model, problem.source.batches(rows, 4), runtime(), False)["head.weight"]
    assert torch.allclose(found, torch.stack(each).square().mean(0), rtol=1e-4, atol=1e-8)
    pairs = [torch.stack(each[i : i + 2]).mean(0).square() for i in (0, 2, 4)]
    means = importance(model, problem.source.batches(rows, 2), runtime(), True)["head.weight"]
    assert torch.allclose(means, torch.stack(pairs).mean(0), rtol=1e-4, atol=1e-8)


def test_ssd_as_published_measures_all_data_on_mixed_batches() -> None:
    """One batch holds all eight samples: F is the square of their mean gradient, F^f that of the forget samples' own."""
    problem = tiny()
    few = replace(problem.data, retain=problem.data.retain[:6], forget=problem.data.forget[:2])
    model = copy.deepcopy(problem.model)
    every = np.concatenate([few.retain, few.forget])
    whole, forget = (mean_gradient(model, problem.source.batches(rows, 8), runtime()) for rows in (every, few.forget))
    config = SsdConfig(selection=1.0)
    after = result("ssd", few, selection=1.0, batch_size=8, as_published=True)
    for name, before in problem.model.named_parameters():
        factor = dampening(whole[name].square(), forget[name].square(), 1.0, config)
        assert torch.allclose(after.get_parameter(name), before * factor, rtol=1e-3, atol=1e-6), name


def test_woodbury_is_the_dense_inverse() -> None:
    generator = torch.Generator().manual_seed(0)
    G, v = torch.randn(30, 7, generator=generator), torch.randn(30, generator=generator)
    dense = torch.linalg.solve(0.3 * torch.eye(30) + G @ G.T / 7, v)
    assert torch.allclose(woodbury(G, v, 0.3), dense, atol=1e-4)
    assert torch.allclose(published(torch.zeros(3, 30), v), v)


def test_influence_moves_so_that_the_forget_loss_rises() -> None:
    problem = tiny()

    def loss(model: nn.Module) -> float:
        logits = infer(model, problem.source, problem.data.forget, runtime())  # type: ignore[arg-type]
        return float(functional.cross_entropy(logits, problem.source.target[problem.data.forget]))

    assert loss(result("influence", step=0.05)) > loss(problem.model)
    part = next(sample_gradients(copy.deepcopy(problem.model), problem.source.batches(problem.data.retain[:3], 3), runtime()))
    assert flat_each(part).shape == (3, sum(p.numel() for p in problem.model.parameters()))


def test_ssd_as_published_samples_the_retain_set_by_its_weights_and_the_forget_set_evenly() -> None:
    problem = tiny()
    few = replace(problem.data, retain=problem.data.retain[:6], forget=problem.data.forget[:6])
    one = replace(few, retain_weights=np.array([0.0, 0.0, 5.0, 0.0, 0.0, 0.0]))
    sampled = [torch.cat([b.rows for b in all_samples(one, SsdConfig(), runtime(seed))]) for seed in range(100)]
    counts = np.bincount(torch.cat(sampled).numpy(), minlength=len(problem.dataset))
    assert counts.sum() == 1200
    assert set(np.flatnonzero(counts)) == {few.retain[2], *few.forget}
    assert abs(counts[few.retain[2]] / 1200 - 5 / 11) < 4 * (5 / 11 * 6 / 11 / 1200) ** 0.5
