from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny import runtime, spec, tiny
from torch.nn import functional

from grmu_audit.errors import InputError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import frozen_copy
from grmu_audit.models.weights import weights_digest
from grmu_audit.training.inference import infer
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.blocks.mine import Mine, MineTrainer, log_mean_exp
from grmu_audit.unlearning.data import reweight
from grmu_audit.unlearning.methods import methods
from grmu_audit.unlearning.methods.gradient_ascent import GradientAscentConfig
from grmu_audit.unlearning.methods.miu import MiuConfig
from grmu_audit.unlearning.methods.retraining import RetrainConfig


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array),
    st.lists(st.integers(0, 4), min_size=1, max_size=30).map(np.array),
)
def test_reweight_restores_the_group_mix(retain: np.ndarray, forget: np.ndarray) -> None:
    weights = reweight(retain, forget)
    assert (weights >= 1).all()
    survivors = np.isin(forget, retain)
    before = np.bincount(np.concatenate([retain, forget[survivors]]), minlength=5)
    mass = np.bincount(retain, weights=weights, minlength=5)
    assert np.allclose(mass, before)


def gaussian(rho: float, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes at distance: z | g ~ N(+-a, 1), whose mutual information is known by quadrature."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.randint(2, (n,), generator=generator)
    z = torch.randn(n, 1, generator=generator) + rho * (2.0 * group[:, None] - 1.0)
    return z, group


def true_information(rho: float) -> float:
    x = np.linspace(-12, 12, 20001)
    p, q = (np.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (-rho, rho))
    mix = (p + q) / 2
    integrand = 0.5 * p * np.log(np.maximum(p, 1e-300) / mix) + 0.5 * q * np.log(np.maximum(q, 1e-300) / mix)
    return float(integrand.sum() * (x[1] - x[0]))


@pytest.mark.parametrize("rho", [0.0, 0.7, 2.0])
def test_mine_finds_the_information_of_a_gaussian_mixture(rho: float) -> None:
    z, group = gaussian(rho, 4000, 0)
    mine = Mine(1, 2, z.mean(0), z.std(0), torch.Generator().manual_seed(1), hidden=64)
    trainer = MineTrainer(mine, 0.05)
    trainer.fit(z, group, 600, 512, torch.Generator().manual_seed(2))
    fresh, labels = gaussian(rho, 20000, 3)
    with torch.no_grad():
        order = torch.randperm(len(fresh), generator=torch.Generator().manual_seed(4))
        estimate = float(mine.information(fresh, labels, labels[order]))
    assert abs(estimate - true_information(rho)) < 0.06


def test_log_mean_exp_survives_large_scores() -> None:
    assert float(log_mean_exp(torch.tensor([1000.0, 1000.0]))) == pytest.approx(1000.0)
    assert float(log_mean_exp(torch.tensor([0.0, math.log(3.0)]))) == pytest.approx(math.log(2.0))


def test_gradient_ascent_is_one_ascent_step_by_hand() -> None:
    problem = tiny()
    config = GradientAscentConfig(epochs=1, batch_size=100, learning_rate=0.01, momentum=0.0)
    result = apply_method(methods.get("gradient_ascent"), problem.model, problem.data, config, runtime())
    twin = copy.deepcopy(problem.model).eval()
    batch = problem.source.take(torch.from_numpy(problem.data.forget))
    functional.cross_entropy(twin(batch.pixels), batch.target).backward()
    for before, after in zip(twin.parameters(), result.parameters(), strict=True):
        assert torch.allclose(after, before + 0.01 * before.grad, atol=1e-6)  # type: ignore[operator]
    for name, value in result.named_buffers():
        assert torch.equal(value, dict(problem.model.named_buffers())[name]), name


def test_the_stop_rule_of_gradient_ascent_needs_validation_rows() -> None:
    problem = tiny()
    data = replace(problem.data, val=problem.data.val[:0])
    with pytest.raises(InputError, match="stop_at_validation_loss: the dataset has no validation split"):
        apply_method(
            methods.get("gradient_ascent"), problem.model, data, GradientAscentConfig(stop_at_validation_loss=True), runtime()
        )


def forget_loss(model: object) -> float:
    problem = tiny()
    logits = infer(model, problem.source, problem.data.forget, runtime())  # type: ignore[arg-type]
    return float(functional.cross_entropy(logits, problem.source.target[problem.data.forget]))


def test_gradient_ascent_raises_the_forget_loss_and_its_rule_stops_it() -> None:
    problem = tiny()
    free = apply_method(methods.get("gradient_ascent"), problem.model, problem.data, GradientAscentConfig(epochs=4), runtime())
    assert forget_loss(free) > forget_loss(problem.model)
    stopped = runtime()
    config = GradientAscentConfig(epochs=200, learning_rate=2e-3, stop_at_validation_loss=True)
    apply_method(methods.get("gradient_ascent"), problem.model, problem.data, config, stopped)
    assert 1 <= stopped.notes["stopped_before_epoch"] <= 200


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


def test_miu_without_any_term_moves_nothing_but_its_last_switch_matters() -> None:
    problem = tiny()
    still = MiuConfig(epochs=1, retaining_term=False, unlearning_term=False, calibration_term=False)
    result = apply_method(methods.get("miu"), problem.model, problem.data, still, runtime())
    assert weights_digest(result) == weights_digest(problem.model)
    digests = set()
    for switch in ("retaining_term", "unlearning_term", "calibration_term"):
        config = MiuConfig(epochs=2, batch_size=32, **{switch: False})  # type: ignore[arg-type]
        digests.add(weights_digest(apply_method(methods.get("miu"), problem.model, problem.data, config, runtime())))
    digests.add(
        weights_digest(
            apply_method(methods.get("miu"), problem.model, problem.data, MiuConfig(epochs=2, batch_size=32), runtime())
        )
    )
    assert len(digests) == 4


def test_miu_forget_pass_lowers_the_information_it_sees() -> None:
    """With the unlearning term alone, the estimate on forget samples falls from epoch to epoch start."""
    problem = tiny()
    losses: list[float] = []
    run = runtime()
    run.log = lambda epoch, metrics: losses.append(metrics["loss_forget"])
    config = MiuConfig(
        epochs=6, forget_epochs=6, batch_size=20, learning_rate=0.05, warmup=0.0, schedule="constant", mine_steps=0,
        retaining_term=False, calibration_term=False, augment=False,
    )  # fmt: skip
    apply_method(methods.get("miu"), problem.model, problem.data, config, run)
    assert losses[-1] < losses[0]
    assert min(losses) >= 0.0


def test_a_frozen_teacher_is_not_the_student() -> None:
    model = build(spec(), 0)
    teacher = frozen_copy(model)
    with torch.no_grad():
        model.head.weight += 1.0
    assert not torch.equal(teacher.head.weight, model.head.weight)
    assert not any(p.requires_grad for p in teacher.parameters())
