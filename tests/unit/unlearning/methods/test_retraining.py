"""Retraining of the network and of its last stages."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.tiny import result, runtime, tiny
from support.weights import weights_digest

from grmu_audit.models.catalog import reinitialised
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.runtime import derive_seed
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.blocks.group_dro import balanced
from grmu_audit.unlearning.methods import methods, retraining
from grmu_audit.unlearning.methods.retraining import RetrainConfig, ShrinkConfig, retrain, shrink


def test_eu_k_draws_the_stages_again_and_respects_frozen_layers() -> None:
    still = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
    after = result("eu_k", last=1, **still)
    assert not torch.allclose(after.head.weight, tiny().model.head.weight, atol=1e-3)
    both = result("eu_k", last=2, layers="1", **still)
    assert torch.equal(both.body[4].conv1.weight, tiny().model.body[4].conv1.weight)


def test_retrain_with_group_dro_records_weights_and_starts_fresh() -> None:
    used = runtime()
    config = RetrainConfig(epochs=2, group_dro=True, keep_best_by="worst_group")
    model = retrain(copy.deepcopy(tiny().model), tiny().data, config, used)
    assert sum(used.notes["group_weights"]) == pytest.approx(1.0, abs=1e-4)
    assert used.notes["epoch_kept_by"] == "worst_group validation accuracy"
    blind = runtime()
    retrain(copy.deepcopy(tiny().model), replace(tiny().data, val=tiny().data.val[:0]), config, blind)
    assert blind.notes["epoch_kept_by"] == "last"
    plain = retrain(copy.deepcopy(tiny().model), tiny().data, RetrainConfig(epochs=2), runtime())
    assert weights_digest(model) != weights_digest(plain)
    assert balanced(np.array([0, 1, 1])).tolist() == [3.0, 1.5, 1.5]


@pytest.mark.parametrize("group_dro", [False, True])
def test_retrain_starts_from_fresh_weights_in_every_layer(group_dro: bool) -> None:
    """Not one parameter or running statistic of the trained network has an influence on the result."""
    problem = tiny()
    other = copy.deepcopy(problem.model)
    with torch.no_grad():
        for value in (*other.parameters(), *other.body.buffers()):
            value.add_(3)
    config = RetrainConfig(epochs=1, group_dro=group_dro)
    results = [apply_method(methods.get("retrain"), model, problem.data, config, runtime(7)) for model in (problem.model, other)]
    assert weights_digest(results[0]) == weights_digest(results[1])
    assert weights_digest(problem.model) != weights_digest(other)


@pytest.mark.parametrize(("keep", "start"), [(0.0, None), (0.25, 3), (0.9, 7)])
def test_shrink_moves_every_weight_and_statistic_back_towards_the_start(
    keep: float, start: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retraining, "fine_tune_on_retain", lambda model, *_: model)
    problem = tiny()
    after = apply_method(
        methods.get("shrink"), problem.model, problem.data, ShrinkConfig(keep=keep, start_seed=start), runtime(7)
    )
    seed = derive_seed(7 if start is None else start, "init")
    trained, fresh = problem.model.state_dict(), reinitialised(problem.model, seed).state_dict()
    moved = 0
    for name, value in after.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, keep * trained[name] + (1 - keep) * fresh[name], atol=1e-5, rtol=0)
            moved += not torch.equal(value, trained[name])
    assert moved > len(list(after.parameters()))


def test_shrink_moves_tied_weights_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining, "fine_tune_on_retain", lambda model, *_: model)
    problem = tiny()
    tied = copy.deepcopy(problem.model)
    tied.body.again = torch.nn.Sequential(tied.head)
    seed = derive_seed(7, "init")
    monkeypatch.setattr(retraining, "reinitialised", lambda model, _: with_head_twice(reinitialised(problem.model, seed)))
    shrink(tied, problem.data, ShrinkConfig(keep=0.5), runtime(7))
    wanted = (problem.model.head.weight + reinitialised(problem.model, seed).head.weight) / 2
    torch.testing.assert_close(tied.head.weight, wanted)


def with_head_twice(model: Classifier) -> Classifier:
    model.body.again = torch.nn.Sequential(model.head)
    return model


def test_shrink_leaves_frozen_stages_alone() -> None:
    after = result("shrink", layers="1", epochs=1, learning_rate=1e-12, weight_decay=0.0)
    before = tiny().model
    for name, value in after.state_dict().items():
        assert torch.equal(value, before.state_dict()[name]) is not name.startswith("head")


def test_the_worst_group_may_choose_the_epoch_of_plain_training() -> None:
    used = runtime()
    retrain(copy.deepcopy(tiny().model), tiny().data, RetrainConfig(epochs=2, keep_best_by="worst_group"), used)
    assert used.notes["epoch_kept_by"] == "worst_group validation accuracy"
    assert "group_weights" not in used.notes


def test_reset_gives_the_last_stage_its_start_and_leaves_the_others() -> None:
    model = copy.deepcopy(tiny().model)
    retraining.reset(model, 1, 5)
    fresh = reinitialised(tiny().model, 5).state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, (fresh if name.startswith("head.") else tiny().model.state_dict())[name]), name
