"""Attacks with shadow models against a second writing of their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import gaussian_kde
from support.shadow_margins import K, N, halves, pool

from grmu_audit.errors import InputError
from grmu_audit.metrics.membership.shadow_attacks import lira, population_attack, rmia, ruli, swap_advantages, ulira


def test_lira_is_the_ratio_of_two_normal_densities_and_offline_with_few_models() -> None:
    margin, member, target = pool(0, 1.0)
    many, truth = np.repeat(margin, 8, axis=0), np.repeat(member, 8, axis=0)
    many = many + np.random.default_rng(1).normal(0, 0.5, many.shape)
    found = lira(many, truth, target)
    for i in (0, 77, 599):
        sides = [many[truth[:, i] == side, i] for side in (True, False)]
        densities = [stats.norm(s.mean(), s.std(ddof=1)).logpdf(target[i]) for s in sides]
        assert found[i] == pytest.approx(densities[0] - densities[1])
    away = np.concatenate([margin[~member[:, i], i] - margin[~member[:, i], i].mean() for i in range(N)])
    shared = np.sqrt((away**2).sum() / (N * (K // 2 - 1)))
    offline = [(target[i] - margin[~member[:, i], i].mean()) / shared for i in range(5)]
    assert lira(margin, member, target)[:5] == pytest.approx(offline)


def test_rmia_counts_beaten_population_samples() -> None:
    margin, member, target = pool(2, 1.0)
    z = np.arange(N) >= 500
    p, q = 1 / (1 + np.exp(-margin)), 1 / (1 + np.exp(-target))
    average = [(p[member[:, i], i].mean() + p[~member[:, i], i].mean()) / 2 for i in range(N)]
    ratio = q / np.array(average)
    expected = [(ratio[i] / ratio[z] > 1).mean() for i in range(20)]
    assert rmia(margin, member, target, z)[:20] == pytest.approx(expected)
    with pytest.raises(InputError, match="population samples"):
        rmia(margin, member, target, np.zeros(N, bool))


def test_ruli_agrees_with_scipys_kernel_density() -> None:
    rng = np.random.default_rng(3)
    forgotten = halves(rng, 8, 30)
    margin = rng.normal(0, 1, (8, 30)) + forgotten
    game = ruli(margin, forgotten, ~forgotten)
    first = [i for i in range(len(game.score)) if game.model[i] == 0][:4]
    for i in first:
        sample = int(game.sample[i])
        sides = []
        for kind in (forgotten, ~forgotten):
            rest = kind[1:]
            count = rest.sum(0)
            mean = np.where(rest, margin[1:], 0).sum(0) / count
            pooled = np.sqrt((np.where(rest, margin[1:] - mean, 0) ** 2).sum() / (count - 1).sum())
            values = margin[1:][rest[:, sample], sample]
            width = 1.06 * pooled * len(values) ** -0.2
            sides.append(gaussian_kde(values, bw_method=width / values.std(ddof=1)).logpdf(margin[0, sample])[0])
        assert game.score[i] == pytest.approx(sides[0] - sides[1])


def test_an_attack_on_samples_instead_of_models_has_no_swap_advantage() -> None:
    rng = np.random.default_rng(4)
    member = halves(rng)
    margin = np.broadcast_to(rng.normal(0, 5, N), (K, N))
    assert swap_advantages(margin, member, ~member) == pytest.approx(0, abs=1e-12)
    game = population_attack(margin, member, ~member)
    assert len(game.score) == K * N
    assert (ulira(margin + rng.normal(0, 1, (K, N)), member, ~member).forgotten == game.forgotten).all()
