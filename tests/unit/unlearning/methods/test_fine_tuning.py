"""Fine-tuning: L1 penalty, last stages, transposed kernels."""

from __future__ import annotations

import pytest
import torch
from support.tiny import result, tiny
from torch import nn

from grmu_audit.errors import InputError
from grmu_audit.unlearning.methods.fine_tuning import penalty, transpose_kernels


def test_l1_penalty_falls_linearly_and_ends() -> None:
    assert [round(penalty(0.2, e, 4, 0), 3) for e in range(4)] == [0.2, 0.15, 0.1, 0.05]
    assert [penalty(1.0, e, 4, 2) for e in range(4)] == [1.0, 0.5, 0.0, 0.0]


def test_l1_sparse_without_an_epoch_for_its_penalty_is_refused() -> None:
    with pytest.raises(InputError, match="epochs_without: 2 leaves none of 2"):
        result("l1_sparse", epochs=2, epochs_without=2)


def test_l1_sparse_shrinks_the_norm() -> None:
    def norm(model: nn.Module) -> float:
        return float(sum(p.detach().abs().sum() for p in model.parameters()))

    assert norm(result("l1_sparse", epochs=2, alpha=0.02)) < norm(result("l1_sparse", epochs=2, alpha=0.0))


@pytest.mark.parametrize("name", ["cf_k", "eu_k"])
def test_last_k_moves_the_last_k_only(name: str) -> None:
    before, after = tiny().model.state_dict(), result(name, last=2, epochs=1).state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved
    assert all(key.startswith(("head.", "body.4.")) for key in moved), moved


def test_ct_transposes_square_kernels_only() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 1, 1), nn.Conv2d(1, 1, (3, 1)))
    before = [layer.weight.detach().clone() for layer in net]
    assert transpose_kernels(net) == 1
    assert torch.equal(net[0].weight, before[0].transpose(-1, -2))
    assert torch.equal(net[1].weight, before[1])
    assert torch.equal(net[2].weight, before[2])
