"""Attacks on made-up margins whose truth is known, and the definitions against a second writing of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import gaussian_kde

from grmu_audit.errors import InputError
from grmu_audit.metrics.checked_predictions import facts
from grmu_audit.metrics.membership.distances import forgetting_epsilon, forgetting_score, klom
from grmu_audit.metrics.membership.shadow_attacks import lira, population_attack, rmia, ruli, swap_advantages, ulira
from grmu_audit.metrics.membership.shadow_metrics import OF_METHOD, OF_MODEL, attack_method, attack_model
from grmu_audit.records import Predictions
from grmu_audit.records.white_box import ShadowTable

N, K = 600, 16


def halves(rng: np.random.Generator, k: int = K, n: int = N) -> np.ndarray:
    """[k, n] memberships, models 2i and 2i + 1 complementary."""
    first = rng.permuted(np.arange(n)[None].repeat(k // 2, 0), axis=1) < n // 2
    return np.stack([first, ~first], axis=1).reshape(k, n)


def pool(seed: int, effect: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margins of K shadow models and of a target trained on the first half; easy and hard samples hide membership."""
    rng = np.random.default_rng(seed)
    member, hardness = halves(rng), rng.normal(0, 4, N)
    margin = hardness + effect * member + rng.normal(0, 1, (K, N))
    target = hardness + effect * (np.arange(N) < N // 2) + rng.normal(0, 1, N)
    return margin, member, target


def problem(seed: int, effect: float, left: float = 0.0) -> tuple[object, ShadowTable]:
    """Facts of a target whose forget set are 150 members, and the table; ``left`` is what unlearning leaves of the effect."""
    margin, member, target = pool(seed, effect)
    rng = np.random.default_rng([seed, 1])
    split = np.repeat([1, 0, 2, 3], [150, 150, 100, 200])
    label, attribute = rng.integers(0, 2, N), rng.integers(0, 2, N)
    logits = np.zeros((N, 2))
    logits[np.arange(N), label] = target
    ids = np.array([f"p{i}" for i in range(N)])
    f = facts(Predictions(ids, split, label, attribute, logits.argmax(1), 2, 2, logits=logits))
    forgotten = member & (np.arange(N) < 150)
    after = margin - effect * forgotten + left * forgotten
    turn = rng.permutation(N)
    return f, ShadowTable(ids[turn], margin[:, turn], member[:, turn], np.ones(N, bool), after[:, turn], forgotten[:, turn])


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


def test_attacks_find_members_and_nothing_where_there_is_nothing() -> None:
    f, table = problem(0, 2.0)
    found = {v.name: v for v in attack_model(f, table, subject="c", confidence=0.95) if v.group is None}  # type: ignore[arg-type]
    assert set(found) == set(OF_MODEL)
    assert all(v.interval is not None and v.interval[0] > 0.55 for v in found.values())
    assert found["LIRA_AUC"].details["shadow_models"] == K
    covered = 0
    for seed in range(20):
        f, table = problem(100 + seed, 0.0)
        for v in attack_model(f, table, subject="c", confidence=0.95):  # type: ignore[arg-type]
            if v.group is None and v.interval is not None:
                covered += v.interval[0] <= 0.5 <= v.interval[1]
    assert covered >= 34  # of 40, where 38 are expected


def test_per_sample_attacks_find_what_one_threshold_misses() -> None:
    f, table = problem(1, 3.0, left=1.5)
    found = {v.name: v for v in attack_method(f, table, subject="c", confidence=0.95)}  # type: ignore[arg-type]
    assert set(found) == set(OF_METHOD)
    simple = found["ULIRA_AUC"].details["population_auc"]
    for name in ("ULIRA_AUC", "RULI_AUC"):
        assert found[name].interval is not None
        assert found[name].interval[0] > simple > 0.5  # type: ignore[index]
    assert found["SWAP"].interval is not None
    assert found["SWAP"].interval[0] > 0
    assert found["FORGET_EPS"].value is not None
    assert found["FORGET_EPS"].value >= found["FORGET_EPS"].details["lower_bound"] >= 0
    f, table = problem(2, 3.0, left=0.0)
    clean = {v.name: v for v in attack_method(f, table, subject="c", confidence=0.95)}  # type: ignore[arg-type]
    for name, middle in (("ULIRA_AUC", 0.5), ("RULI_AUC", 0.5), ("SWAP", 0.0)):
        low, high = clean[name].interval  # type: ignore[misc]
        assert low <= middle <= high
    assert clean["KLOM_95"].value < found["KLOM_95"].value  # type: ignore[operator]


def test_what_cannot_be_attacked_says_why() -> None:
    f, table = problem(3, 1.0)
    few = ShadowTable(table.ids, table.margin[:2], table.member[:2], table.population)
    reasons = {v.why_missing for v in attack_model(f, few, subject="c", confidence=0.95)}  # type: ignore[arg-type]
    assert reasons == {
        "2 shadow models; 4 are needed",
        "shadow attacks need two models with and two without each sample: train more shadow models",
    }
    for value in attack_method(f, few, subject="c", confidence=0.95):  # type: ignore[arg-type]
        assert value.value is None
        assert value.why_missing == "no 4 shadow models that the method was run on"
    with pytest.raises(InputError, match="two pairs"):
        swap_advantages(table.margin[:2], table.member[:2], ~table.member[:2])


def test_an_attack_on_samples_instead_of_models_has_no_swap_advantage() -> None:
    rng = np.random.default_rng(4)
    member = halves(rng)
    margin = np.broadcast_to(rng.normal(0, 5, N), (K, N))
    assert swap_advantages(margin, member, ~member) == pytest.approx(0, abs=1e-12)
    game = population_attack(margin, member, ~member)
    assert len(game.score) == K * N
    assert (ulira(margin + rng.normal(0, 1, (K, N)), member, ~member).forgotten == game.forgotten).all()


def test_epsilon_knows_its_ends_and_the_lower_bound_needs_models() -> None:
    rng = np.random.default_rng(5)
    apart = forgetting_epsilon(rng.normal(0, 1, 512), rng.normal(100, 1, 512))
    assert apart.plug_in == 50.0
    assert 3 < apart.lower < 6  # Clopper-Pearson at 0 of 256
    same = forgetting_epsilon(rng.normal(0, 1, 512), rng.normal(0, 1, 512))
    assert same.plug_in < 3
    assert same.lower == 0.0
    assert forgetting_epsilon(rng.normal(0, 1, 8), rng.normal(9, 1, 8)).lower == 0.0


def test_epsilon_of_a_known_pair_of_error_rates() -> None:
    """One overlapping value on each side: the best rule errs once in four on both, so epsilon = log((1 - delta - 1/4) 4)."""
    unlearned, retrained = np.array([0.0, 1.0, 2.0, 10.0]), np.array([3.0, 11.0, 12.0, 13.0])
    found = forgetting_epsilon(unlearned, retrained, delta=0.0)
    assert found.plug_in >= np.log((1 - 0.25) / 0.25) - 1e-9


def test_epsilon_sees_a_side_that_is_narrower_whichever_it_is() -> None:
    """The narrow side lies in the middle of the wide one: one threshold finds little, the interval errs on 1 of 10 alone."""
    narrow = np.array([-0.2, -0.1, -0.05, 0.0, 0.0, 0.05, 0.1, 0.15, 0.2, 8.0])
    wide = np.array([-9.0, -7.0, -6.0, -5.0, 0.01, 5.0, 6.0, 7.0, 9.0, 10.0])
    expected = np.log((1 - 1e-5 - 0.1) / 0.1)
    assert forgetting_epsilon(narrow, wide).plug_in == pytest.approx(expected)
    assert forgetting_epsilon(wide, narrow).plug_in == pytest.approx(expected)


def test_the_lower_bound_is_below_the_truth_in_nineteen_of_twenty() -> None:
    """Two normal laws half a unit apart: the largest true epsilon of a half-line is known, the bound must rarely pass it."""
    rng = np.random.default_rng(6)
    cuts = np.linspace(-4, 4, 400)
    fpr, fnr = stats.norm.sf(cuts, 0), stats.norm.cdf(cuts, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        truth = np.nanmax(np.maximum(np.log((1 - fpr) / fnr), np.log((1 - fnr) / fpr)))
    above = sum(forgetting_epsilon(rng.normal(0.5, 1, 40), rng.normal(0, 1, 40)).lower > truth for _ in range(60))
    assert above <= 6


def test_forgetting_quality_halves_every_bin() -> None:
    assert forgetting_score(np.array([0.1, 0.5, 1.0, 49.0]), 512) == pytest.approx((1 + 0.5 + 0.25 + 0) / 4)


def test_klom_equals_scipys_entropy_of_the_histograms_and_counts_the_top_edge() -> None:
    rng = np.random.default_rng(7)
    u, r = rng.normal(1, 1, 100), rng.normal(0, 1, 100)
    edges = np.linspace(min(u.min(), r.min()), max(u.max(), r.max()), 21)
    p, q = (np.histogram(x, edges)[0] / 100 + 1e-5 for x in (u, r))
    assert klom(u, r) == pytest.approx(stats.entropy(p, q))
    assert klom(np.ones(5), np.ones(5)) == 0.0
