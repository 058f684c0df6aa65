"""MSG by hand."""

from __future__ import annotations

from copy import deepcopy

import torch
from support.notes import Notes
from support.tiny import runtime, tiny
from torch import nn

from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.methods import methods
from grmu_audit.unlearning.methods.msg import reinitialise_weights


def test_msg_reinitialises_the_smallest_and_leaves_the_rest() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 2))
    before = net[0].weight.detach().clone()
    values = {"0.weight": torch.tensor([0.1, 5.0, -0.2, 4.0, 3.0, -6.0, 7.0, 8.0]).view(2, 1, 2, 2)}
    mask = reinitialise_weights(net, values, 0.25, torch.Generator().manual_seed(0))["0.weight"]
    assert mask.flatten().tolist() == [True, False, True, False, False, False, False, False]
    assert torch.equal(net[0].weight[~mask], before[~mask])
    assert not torch.equal(net[0].weight[mask], before[mask])


def test_a_network_without_convolutions_is_fine_tuned_and_that_is_said() -> None:
    problem, run, method = tiny(), runtime(), methods.get("msg")
    model = deepcopy(problem.model)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.requires_grad_(False)  # as where there is none: no convolution weight has a gradient
    run.observer = said = Notes()
    apply_method(method, model, problem.data, method.config(epochs=1), run)
    assert any("no 2-D convolution" in line for line in said.lines), said.lines
    run.observer = said = Notes()
    apply_method(method, problem.model, problem.data, method.config(epochs=1), run)
    assert not any("no 2-D convolution" in line for line in said.lines)
