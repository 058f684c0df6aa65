"""SCRUB: its steps by hand, and rewinding."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from support.tiny import result, runtime, tiny
from support.weights import weights_digest
from torch import nn

from grmu_audit.errors import InputError
from grmu_audit.unlearning.blocks.passes import distillation, forward_frozen_batchnorm
from grmu_audit.unlearning.methods.scrub import Rewind, nearest


def test_scrub_forget_passes_move_away_from_the_teacher() -> None:
    problem = tiny()
    batch = problem.source.take(torch.from_numpy(problem.data.forget))

    def distance(model: nn.Module) -> float:
        with torch.no_grad():
            return float(distillation(problem.model.eval()(batch.pixels), model.eval()(batch.pixels), 4.0))

    plain = {"epochs": 3, "learning_rate": 0.02, "schedule": "constant", "warmup": 0.0, "augment": False, "alpha": 0.5}
    assert distance(result("scrub", forget_epochs=3, **plain)) > distance(result("scrub", forget_epochs=0, **plain))


def test_retain_passes_may_have_batches_of_their_own() -> None:
    plain = {"epochs": 1, "augment": False, "batch_size": 20}
    usual = weights_digest(result("scrub", **plain))
    assert weights_digest(result("scrub", retain_batch_size=20, **plain)) == usual
    assert weights_digest(result("scrub", retain_batch_size=40, **plain)) != usual
    on_retain = {"forget_epochs": 0, "epochs": 1, "augment": False, "retain_batch_size": 40}
    without_forget_passes = weights_digest(result("scrub", batch_size=20, **on_retain))
    assert weights_digest(result("scrub", batch_size=10, **on_retain)) == without_forget_passes, (
        "the batch of the forget passes has no part"
    )


def test_scrub_forget_step_climbs_the_distance_to_the_teacher() -> None:
    """theta_1 = theta_0 + rate d/dtheta of T^2 sum p log(p / q), with the batch's own statistics, and nothing else."""
    problem, t, rate = tiny(), 4.0, 0.01
    settings = {"epochs": 1, "forget_epochs": 1, "gamma": 0.0, "alpha": 0.0, "temperature": t, "batch_size": 512}
    plain = {"learning_rate": rate, "schedule": "constant", "warmup": 0.0, "momentum": 0.0, "weight_decay": 0.0}
    found = result("scrub", augment=False, **settings, **plain)
    same = copy.deepcopy(problem.model)
    batch = problem.source.take(torch.from_numpy(problem.data.forget))
    p = torch.softmax(problem.model.eval()(batch.pixels).detach() / t, 1)
    q = torch.softmax(forward_frozen_batchnorm(same, batch.pixels) / t, 1)
    (t * t * (p * (p / q).log()).sum(1).mean()).backward()
    for name, weight in same.named_parameters():
        assert weight.grad is not None
        moved = found.get_parameter(name) - problem.model.get_parameter(name)
        assert torch.allclose(moved, rate * weight.grad, rtol=1e-3, atol=1e-6), name


def test_scrub_rewinds_to_the_nearest_error_and_the_original_can_win() -> None:
    assert nearest({0: 0.0, 1: 0.4, 2: 0.6}, 0.5) == 1
    assert nearest({0: 0.1, 1: 0.9}, 0.0) == 0
    problem = tiny()
    model = copy.deepcopy(problem.model)
    rewind = Rewind(model, problem.data, False, runtime())
    groups = problem.source.group.numpy()
    assert set(groups[rewind.like]) == set(groups[problem.data.forget])
    kept = weights_digest(model)
    with torch.no_grad():
        model.head.bias[0] += 100.0  # everything is class 0: the forget set (class 1) is all wrong, and so is the target
    rewind.store(1)
    assert weights_digest(rewind.apply()) != kept
    fresh = Rewind(copy.deepcopy(problem.model), problem.data, False, runtime())
    fresh.load_state_dict(rewind.state_dict())
    assert set(fresh.states) == {0, 1}
    alone = Rewind(copy.deepcopy(problem.model), problem.data, True, runtime())
    assert weights_digest(alone.apply()) == kept


def test_scrub_rewinds_by_the_error_of_its_last_epoch_whatever_state_it_is_left_in() -> None:
    problem = tiny()
    model = copy.deepcopy(problem.model)
    rewind, run = Rewind(model, problem.data, False, runtime()), runtime()
    rewind.runtime = run
    first = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model.head.bias[0] += 100.0
    rewind.store(1)
    model.load_state_dict(first)  # as keep_best does
    rewind.apply()
    assert run.notes["rewind_target_error"] == 1.0  # the last epoch calls all of class 1 wrong


def test_scrub_rewind_needs_validation_samples_of_the_group() -> None:
    problem = tiny()
    groups = problem.source.group.numpy()
    val = problem.data.val[groups[problem.data.val] != 2]
    with pytest.raises(InputError, match="switch rewind off"):
        result("scrub", replace(problem.data, val=val), rewind=True, epochs=1)
    assert result("scrub", replace(problem.data, val=val), rewind=True, as_published=True, epochs=1) is not None
