"""Group-DRO by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from support.tiny import runtime, tiny

from grmu_audit.data.batches import Batch
from grmu_audit.unlearning.blocks import group_dro
from grmu_audit.unlearning.blocks.group_dro import GroupDro, worst_group_accuracy


def test_group_dro_weights_by_hand() -> None:
    dro = GroupDro(torch.tensor([4, 1, 0]), step_size=0.5)
    assert dro.q.tolist() == [0.5, 0.5, 0.0]
    loss = dro.loss(torch.tensor([1.0, 3.0, 4.0]), torch.tensor([0, 0, 1]))
    raw = np.array([math.exp(0.5 * 2.0), math.exp(0.5 * 4.0)])
    q = raw / raw.sum()
    assert np.allclose(dro.q.numpy(), [*q, 0.0], atol=1e-6)
    assert float(loss) == pytest.approx(float(q @ [2.0, 4.0]), rel=1e-5)


def test_group_dro_adjustment_steers_the_weights_and_stays_out_of_the_loss() -> None:
    dro = GroupDro(torch.tensor([4, 1]), step_size=1.0, adjustment=2.0)
    loss = dro.loss(torch.tensor([0.0, 0.0]), torch.tensor([0, 1]))
    assert float(loss) == 0.0
    assert float(dro.q[1] / dro.q[0]) == pytest.approx(math.exp(2.0 - 1.0), rel=1e-5)


def test_group_dro_gradient_does_not_pass_through_the_weights_and_absent_groups_shrink() -> None:
    dro = GroupDro(torch.tensor([1, 1]), step_size=1.0)
    losses = torch.tensor([2.0], requires_grad=True)
    dro.loss(losses, torch.tensor([0])).backward()
    assert losses.grad is not None
    assert float(losses.grad) == pytest.approx(float(dro.q[0]))
    assert float(dro.q[1]) < 0.5


def test_group_dro_continues_from_a_checkpoint() -> None:
    dro, other = (GroupDro(torch.tensor([1, 1]), 1.0) for _ in range(2))
    dro.loss(torch.tensor([2.0]), torch.tensor([0]))
    other.load_state_dict(dro.state_dict())
    batch = Batch(torch.zeros(2, 3, 32, 32), torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([0, 1]))
    model = copy.deepcopy(tiny().model).eval()
    assert torch.equal(dro(model, batch), other(model, batch))


def test_the_worst_group_is_undefined_where_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([0.5, math.nan, 0.7, 0.9])
    monkeypatch.setattr(group_dro, "accuracy", lambda *_: next(found))
    assert math.isnan(worst_group_accuracy(tiny().model, tiny().data, runtime()))
