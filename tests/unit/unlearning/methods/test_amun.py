"""AMUN: neighbours and cost."""

from __future__ import annotations

import torch
from support.tiny import runtime, tiny

from grmu_audit.models.classifier import frozen_copy
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.methods import methods
from grmu_audit.unlearning.methods.amun import AmunConfig, neighbours


def test_amun_neighbours_are_wrong_for_the_original_and_near() -> None:
    problem = tiny()
    config = AmunConfig(attack_steps=10, with_forget=False)
    original = frozen_copy(problem.model)
    found = neighbours(original, problem.data, config, runtime())
    beside = found.batch
    assert len(beside.target) + found.failed == len(problem.data.forget)
    assert set(beside.rows.tolist()) <= set(problem.data.forget.tolist())
    with torch.no_grad():
        assert torch.equal(original(beside.pixels).argmax(1), beside.target)
    assert bool((beside.target == 0).all())  # the forget set is of class 1
    assert float(beside.pixels.min()) >= 0.0
    assert float(beside.pixels.max()) <= 1.0


def test_amun_costs_the_retain_set_the_forget_set_and_its_neighbours_in_every_epoch() -> None:
    problem, method = tiny(), methods.get("amun")
    counted = [runtime(), runtime()]
    for epochs, run in zip((1, 2), counted, strict=True):
        apply_method(method, problem.model, problem.data, method.config(epochs=epochs, attack_steps=6), run)
    expected = len(problem.data.retain) + 2 * len(problem.data.forget) - counted[0].notes["forget_samples_without_neighbour"]
    assert counted[1].sample_gradients - counted[0].sample_gradients == expected
