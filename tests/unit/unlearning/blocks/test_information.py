"""Estimators of information against information that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from grmu_audit.unlearning.blocks.information import ClassifierTrainer, GroupClassifier, Mine, MineTrainer, log_mean_exp


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


def classifier(z: torch.Tensor, shares: list[float], hidden: int = 64) -> ClassifierTrainer:
    generator = torch.Generator().manual_seed(1)
    network = GroupClassifier(z.shape[1], torch.tensor(shares), z.mean(0), z.std(0), generator, hidden)
    return ClassifierTrainer(network, 1e-3)


@pytest.mark.parametrize("rho", [0.0, 0.7, 2.0])
def test_the_classifier_finds_it_and_stops_by_itself(rho: float) -> None:
    z, group = gaussian(rho, 4000, 0)
    trainer = classifier(z, [0.5, 0.5])
    taken = trainer.fit(z, group, 5000, 512, torch.Generator().manual_seed(2))
    fresh, labels = gaussian(rho, 20000, 3)
    with torch.no_grad():
        estimate = float(trainer.information(fresh, labels, labels))
    assert abs(estimate - true_information(rho)) < 0.03
    assert 75 <= taken < 2000


def test_one_rare_group_reads_its_surprise_at_most_and_a_long_run_no_more() -> None:
    """-log p(g) nats where the features tell the group, as the features of a trained network do."""
    generator = torch.Generator().manual_seed(0)
    group = (torch.rand(3000, generator=generator) < 0.08).long()
    z = torch.randn(3000, 8, generator=generator) + 3.0 * group[:, None]
    shares = [1.0 - float(group.float().mean()), float(group.float().mean())]
    found = []
    for calls in (1, 20):
        trainer = classifier(z, shares)
        for call in range(calls):
            trainer.fit(z, group, 2000, 256, torch.Generator().manual_seed(call))
        with torch.no_grad():
            rare = group == 1
            found.append(float(trainer.information(z[rare], group[rare], group[rare])))
    surprise = -math.log(shares[1])
    assert found[0] == pytest.approx(found[1], rel=0.2)
    assert 0.8 * surprise < found[0] <= surprise + 1e-6


def test_the_second_term_of_the_bound_is_zero() -> None:
    """E_p[exp T(z, g')] = 1 for each z, so that leaving it out changes nothing."""
    z, group = gaussian(1.0, 500, 0)
    trainer = classifier(z, [0.2, 0.8])
    trainer.fit(z, group, 50, 64, torch.Generator().manual_seed(0))
    scores = trainer.network(z) - trainer.network.prior
    mean = (scores.exp() * trainer.network.prior.exp()).sum(1)
    assert torch.allclose(mean, torch.ones(len(z)), atol=1e-5)


def test_a_classifier_continues_from_its_state() -> None:
    z, group = gaussian(1.0, 500, 0)
    one, other = classifier(z, [0.5, 0.5]), classifier(z, [0.5, 0.5])
    one.fit(z, group, 60, 64, torch.Generator().manual_seed(0))
    other.load_state_dict(one.state_dict())
    for trainer in (one, other):
        trainer.fit(z, group, 60, 64, torch.Generator().manual_seed(5))
    assert torch.equal(one.network(z), other.network(z))


def test_log_mean_exp_survives_large_scores() -> None:
    assert float(log_mean_exp(torch.tensor([1000.0, 1000.0]))) == pytest.approx(1000.0)
    assert float(log_mean_exp(torch.tensor([0.0, math.log(3.0)]))) == pytest.approx(math.log(2.0))


def test_too_few_samples_for_a_held_out_part_are_all_learned_from() -> None:
    z, group = torch.tensor([[-3.0], [3.0], [3.5]]), torch.tensor([0, 1, 1])
    trainer = classifier(z, [1 / 3, 2 / 3])
    with torch.no_grad():
        before = float(trainer.information(z, group, group))
    assert trainer.fit(z, group, 90, 64, torch.Generator().manual_seed(0)) == 90, "nothing says when to stop"
    with torch.no_grad():
        assert before + 0.3 < float(trainer.information(z, group, group)) < math.log(3)
