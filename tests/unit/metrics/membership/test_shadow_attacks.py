"""Attacks with shadow models against a second writing of their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import gaussian_kde
from sklearn.metrics import roc_auc_score
from support.shadow_margins import K, N, halves, pool

from grmu_audit.errors import InputError
from grmu_audit.metrics.membership.shadow_attacks import (
    LIRA_FORMS,
    best_form,
    lira,
    lira_areas,
    population_attack,
    rmia,
    ruli,
    swap_advantages,
    ulira,
)


def test_every_form_of_lira_is_what_its_definition_says() -> None:
    margin, member, target = pool(0, 1.0)
    found = {form: lira(margin, member, target, form) for form in LIRA_FORMS}
    sides = {kind: [margin[member[:, i] == kind, i] for i in range(N)] for kind in (True, False)}
    one = {kind: np.sqrt(np.mean([s.var(ddof=1) for s in values])) for kind, values in sides.items()}
    for i in (0, 77, 599):
        own = [stats.norm(sides[k][i].mean(), sides[k][i].std(ddof=1)).logpdf(target[i]) for k in (True, False)]
        same = [stats.norm(sides[k][i].mean(), one[k]).logpdf(target[i]) for k in (True, False)]
        assert found["online"][i] == pytest.approx(own[0] - own[1])
        assert found["online, one variance"][i] == pytest.approx(same[0] - same[1])
        assert found["offline"][i] == pytest.approx((target[i] - sides[False][i].mean()) / one[False])


def test_the_form_of_lira_is_the_one_that_does_best_on_the_pool_at_every_size() -> None:
    chosen = []
    for models in (16, 62, 64):
        rng = np.random.default_rng(models)
        member, hardness = halves(rng, models, 300), rng.normal(0, 4, 300)
        margin = hardness + rng.exponential(1.5, 300) * member + rng.normal(0, 1, (models, 300))
        areas = lira_areas(margin, member)
        again = dict.fromkeys(LIRA_FORMS, 0.0)
        for k in range(models):
            rest = np.arange(models) != k
            for form in LIRA_FORMS:
                score = lira(margin[rest], member[rest], margin[k], form)
                again[form] += roc_auc_score(member[k], score) / models
        assert areas == pytest.approx(again)
        chosen.append(best_form(areas))
    assert chosen[1] == chosen[2] == "online, one variance"  # which is how these margins were drawn


def test_ulira_takes_each_models_form_from_the_others_alone() -> None:
    rng = np.random.default_rng(6)
    forgotten = halves(rng, 12, 80)
    margin = rng.normal(0, 3, 80) + 1.5 * forgotten + rng.normal(0, 1, (12, 80))
    game = ulira(margin, forgotten, ~forgotten)
    for k in (0, 7):
        rest = np.arange(12) != k
        sides = [[margin[rest][kind[rest][:, i], i] for i in range(80)] for kind in (forgotten, ~forgotten)]
        one = [np.sqrt(sum(((s - s.mean()) ** 2).sum() for s in side) / sum(len(s) - 1 for s in side)) for side in sides]
        wanted = [
            stats.norm(sides[0][i].mean(), one[0]).logpdf(margin[k, i])
            - stats.norm(sides[1][i].mean(), one[1]).logpdf(margin[k, i])
            for i in range(80)
        ]
        assert game.score[game.model == k] == pytest.approx(wanted)
        assert (game.sample[game.model == k] == np.arange(80)).all()
        assert (game.forgotten[game.model == k] == forgotten[k]).all()


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
