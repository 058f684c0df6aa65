"""Random labels and SalUn by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from support.tiny import result, runtime, tiny

from grmu_audit.unlearning.blocks.gradients import mean_gradient
from grmu_audit.unlearning.methods.random_labels import SalUnConfig, random_labels, top_mask


def test_salun_mask_is_the_exact_top_k_over_all_parameters() -> None:
    values = {"a": torch.tensor([1.0, -5.0, 0.0]), "b": torch.tensor([[4.0, -4.0], [0.5, 2.0]])}
    mask = top_mask(values, 3 / 7)
    assert mask["a"].tolist() == [False, True, False]
    assert mask["b"].tolist() == [[True, True], [False, False]]
    ties = top_mask({"a": torch.ones(10)}, 0.3)
    assert ties["a"].tolist() == [True] * 3 + [False] * 7


@pytest.mark.parametrize("as_published", [False, True])
def test_salun_holds_what_its_mask_holds_and_the_published_form_does_not(as_published: bool) -> None:
    problem = tiny()
    batches = problem.source.batches(problem.data.forget, 64)
    mask = top_mask(mean_gradient(copy.deepcopy(problem.model), batches, runtime()), SalUnConfig().density)
    after = dict(result("salun", epochs=2, batch_size=64, as_published=as_published).named_parameters())
    same = [torch.equal(after[name][~mask[name]], p[~mask[name]]) for name, p in problem.model.named_parameters()]
    assert all(same) is not as_published
    assert any(not torch.equal(after[name][mask[name]], p[mask[name]]) for name, p in problem.model.named_parameters())


def test_random_labels_are_uniform_over_all_classes() -> None:
    labels = random_labels(9000, 3, torch.Generator().manual_seed(0))
    assert np.allclose(np.bincount(labels.numpy()) / 9000, 1 / 3, atol=0.02)


def test_salun_as_published_masks_the_gradients_of_the_layers_that_move() -> None:
    before = dict(tiny().model.named_parameters())
    after = dict(result("salun", epochs=1, batch_size=64, as_published=True, layers="1").named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert moved <= {"head.weight", "head.bias"}
