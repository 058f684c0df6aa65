"""MINE against information that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from grmu_audit.unlearning.blocks.mine import Mine, MineTrainer, log_mean_exp


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
