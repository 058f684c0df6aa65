"""Boundary shrink and expansion by hand."""

from __future__ import annotations

import torch
from support.tiny import result, runtime, tiny
from torch import nn

from grmu_audit.training.inference import infer
from grmu_audit.unlearning.methods.boundary import expanded, nearest_class, pruned


def test_boundary_shrink_never_fits_the_true_label_unless_published() -> None:
    logits, target = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]]), torch.tensor([0, 2])
    assert nearest_class(logits, target, fallback=True).tolist() == [2, 1]
    assert nearest_class(logits, target, fallback=False).tolist() == [0, 1]


def test_boundary_expansion_adds_one_output_and_takes_it_away() -> None:
    head = nn.Linear(4, 3)
    wide = expanded(head, torch.Generator().manual_seed(0))
    assert wide.weight.shape == (4, 4)
    assert float(wide.weight[3].detach().abs().max()) <= 0.5
    back = pruned(wide, 3)
    assert torch.equal(back.weight, head.weight)
    assert torch.equal(back.bias, head.bias)
    assert result("boundary_expansion", epochs=1).head.out_features == 2


def test_delete_and_boundary_shrink_change_answers_on_the_forget_set() -> None:
    problem = tiny()

    def right(model: nn.Module) -> float:
        logits = infer(model, problem.source, problem.data.forget, runtime())  # type: ignore[arg-type]
        return float(torch.softmax(logits, 1).gather(1, problem.source.target[problem.data.forget][:, None]).mean())

    for name in ("delete", "boundary_shrink"):
        assert right(result(name, epochs=15, learning_rate=0.01)) < right(problem.model), name
    assert right(result("boundary_expansion", epochs=15, learning_rate=0.01)) != right(problem.model)
