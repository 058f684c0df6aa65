"""ReGUn by hand."""

from __future__ import annotations

import numpy as np
import torch
from support.tiny import tiny

from grmu_audit.unlearning.methods.regun import targets_by_group


def test_regun_targets_are_means_of_the_same_group_then_class_then_all() -> None:
    problem = tiny()
    groups = problem.source.group.numpy()
    rows = np.concatenate([problem.data.val[groups[problem.data.val] == code][:3] for code in (0, 2)])
    p = torch.softmax(torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), 1)
    by_group = targets_by_group(p, rows, problem.data, "group")
    assert torch.allclose(by_group[0], p[:3].mean(0))
    assert torch.allclose(by_group[2], p[3:].mean(0))
    assert torch.allclose(by_group[1], p[:3].mean(0))  # no row of its group: its class
    assert torch.allclose(targets_by_group(p, rows, problem.data, "all"), p.mean(0).expand(4, -1))
    lonely = targets_by_group(p[:3], rows[:3], problem.data, "group")
    assert torch.allclose(lonely[3], p[:3].mean(0))  # neither group nor class: all
