"""MSG by hand."""

from __future__ import annotations

import torch
from torch import nn

from grmu_audit.unlearning.methods.msg import reinitialise_weights


def test_msg_reinitialises_the_smallest_and_leaves_the_rest() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 2))
    before = net[0].weight.detach().clone()
    values = {"0.weight": torch.tensor([0.1, 5.0, -0.2, 4.0, 3.0, -6.0, 7.0, 8.0]).view(2, 1, 2, 2)}
    mask = reinitialise_weights(net, values, 0.25, torch.Generator().manual_seed(0))["0.weight"]
    assert mask.flatten().tolist() == [True, False, True, False, False, False, False, False]
    assert torch.equal(net[0].weight[~mask], before[~mask])
    assert not torch.equal(net[0].weight[mask], before[mask])
