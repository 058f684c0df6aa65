"""DELETE and bad teacher by hand."""

from __future__ import annotations

import math

import pytest
import torch
from support.tiny import runtime, tiny

from grmu_audit.unlearning.blocks.passes import soft_kl
from grmu_audit.unlearning.methods.distillation import retain_subset, without_class


def test_delete_takes_the_true_class_out() -> None:
    q = without_class(torch.tensor([[9.0, math.log(3.0), 0.0]]), torch.tensor([0]))
    assert torch.allclose(q, torch.tensor([[0.0, 0.75, 0.25]]))
    assert float(soft_kl(q, torch.tensor([[-50.0, math.log(3.0), 0.0]]))) == pytest.approx(0.0, abs=1e-5)


def test_bad_teacher_takes_its_share_of_the_retain_set_once() -> None:
    rows = retain_subset(tiny().data, 0.3, runtime())
    assert len(rows) == len(set(rows.tolist())) == round(0.3 * len(tiny().data.retain))
    assert set(rows) <= set(tiny().data.retain)
