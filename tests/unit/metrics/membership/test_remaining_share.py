"""REMAINING_SHARE on margins whose truth is known, and against a second writing of its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.outcomes import values_of
from support.shadow_margins import K, N, halves, problem

from grmu_audit.metrics import CheckedPredictions, check_predictions
from grmu_audit.metrics.membership.remaining_share import Calls, best_threshold, call_used, measure_remaining_share
from grmu_audit.records import Predictions
from grmu_audit.records.white_box import ShadowTable

FORGET = 200


def known(seed: int, share: float, effect: float = 3.0) -> tuple[CheckedPredictions, ShadowTable]:
    """A target that was trained on ``share`` of the forget set, exactly."""
    rng = np.random.default_rng(seed)
    member, hardness = halves(rng), rng.normal(0, 2, N)
    margin = hardness + effect * member + rng.normal(0, 1, (K, N))
    used = np.zeros(N, dtype=bool)
    used[rng.permutation(FORGET)[: round(share * FORGET)]] = True
    split = np.repeat([1, 0, 2, 3], [FORGET, 100, 100, N - FORGET - 200])
    used |= split == 0
    logits = np.zeros((N, 2))
    logits[:, 1] = hardness + effect * used + rng.normal(0, 1, N)
    ids, ones = np.array([f"p{i}" for i in range(N)]), np.ones(N, dtype=np.int64)
    p = Predictions(ids, split, ones, 0 * ones, logits.argmax(1), 2, 1, logits=logits)
    return check_predictions(p), ShadowTable(ids, margin, member, np.ones(N, bool))


def one(checked: CheckedPredictions, table: ShadowTable):
    (value,) = values_of(measure_remaining_share(checked, table))
    return value


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_interval_covers_the_true_share_and_the_estimate_is_not_biased(share):
    found = [one(*known(seed, share)) for seed in range(16)]
    covered = sum(v.interval[0] <= share <= v.interval[1] for v in found)
    assert covered >= 15  # of 16; 98 % of 480 draws were covered
    assert np.mean([v.value for v in found]) == pytest.approx(share, abs=0.05)


def test_the_raw_share_of_calls_is_corrected():
    found = one(*known(1, 0.0, effect=2.0))
    assert found.details["called_used"] > 0.05
    assert found.interval[0] <= 0.0 <= found.interval[1]
    assert found.details["shadow_models"] == K


def by_hand(checked: CheckedPredictions, table: ShadowTable) -> float:
    """DUCI sample by sample, from its definition."""
    p = 1 / (1 + np.exp(-table.margin))
    forget, val = np.flatnonzero(checked.predictions.mask("forget")), np.flatnonzero(checked.predictions.mask("val"))

    def score(own: np.ndarray, others: list[int], z: np.ndarray, x: int) -> float:
        def ratio(i: int) -> float:
            sides = [[p[k, i] for k in others if table.member[k, i] == side] for side in (True, False)]
            return own[i] / (sum(np.mean(side) if side else 0.0 for side in sides) / 2)

        return float(np.mean([ratio(x) > ratio(i) for i in z]))

    scores, truth = [], []
    for k in range(len(p)):
        z = val[~table.member[k, val]]
        scores.append([score(p[k], [j for j in range(len(p)) if j != k], z, x) for x in forget])
        truth.append(table.member[k, forget])
    scores, truth = np.array(scores), np.array(truth)

    def cut(rows: list[int]) -> float:
        part, real = scores[rows], truth[rows]
        grid = np.quantile(part, np.linspace(0, 1, 101)[:-1])
        return max(grid, key=lambda t: ((part[real] > t).mean() - (part[~real] > t).mean(), -t))

    rates = []
    for k in range(len(p)):
        t = cut([j for j in range(len(p)) if j // 2 != k // 2])
        rates.append([(scores[k][truth[k] == side] > t).mean() for side in (True, False)])
    target, t = 1 / (1 + np.exp(-checked.margin)), cut(list(range(len(p))))
    called = np.mean([score(target, list(range(len(p))), val, x) > t for x in forget])
    true, false = np.mean(rates, axis=0)
    return float((called - false) / (true - false))


def test_it_agrees_with_the_definition_written_down_independently():
    checked, table = known(3, 0.4)
    few = np.r_[0:30, 200:220, 300:330, 500:520]
    p = checked.predictions
    columns = {name: getattr(p, name)[few] for name in ("ids", "split", "target", "attribute", "prediction", "logits")}
    small = check_predictions(replace(p, **columns))
    less = ShadowTable(table.ids[few], table.margin[:, few], table.member[:, few], table.population[few])
    assert call_used(small, less).share(None).estimate == pytest.approx(by_hand(small, less))


def test_variances_are_those_of_people_and_of_pairs_of_models():
    rng = np.random.default_rng(0)
    rates = np.stack([0.8 + rng.normal(0, 0.001, K), 0.1 + rng.normal(0, 0.001, K)], axis=1)
    called = np.repeat(rng.random(50) < 0.5, 4).astype(float)
    single, together = Calls(called, rates).share(None), Calls(called, rates).share(np.arange(200) // 4)
    assert single.numerator_variance == pytest.approx(called.var(ddof=1) / 200, rel=1e-3)
    assert together.numerator_variance == pytest.approx(called.reshape(50, 4).mean(axis=1).var(ddof=1) / 50, rel=1e-3)
    pairs = rates.reshape(K // 2, 2, 2).mean(axis=1)
    assert single.denominator_variance == pytest.approx((pairs[:, 0] - pairs[:, 1]).var(ddof=1) / (K // 2))
    wide = rates + np.repeat(rng.normal(0, 0.1, K), 2).reshape(K, 2)
    assert Calls(called, wide).share(None).numerator_variance > 2 * single.numerator_variance


def test_where_it_is_undefined_it_says_why():
    checked, table = problem(0, 2.0)
    few = ShadowTable(table.ids, table.margin[:2], table.member[:2], table.population)
    assert one(checked, few).why_missing == "2 shadow models; 4 are needed"
    blind = one(*known(5, 1.0, effect=0.0))
    assert blind.value is None
    assert "does not surely tell" in blind.why_missing
    labels = check_predictions(replace(checked.predictions, logits=None))
    assert one(labels, table).why_missing == "needs logits or probabilities; they are not given"
    split = np.where(checked.predictions.split == 2, 3, checked.predictions.split)
    assert "population samples" in one(check_predictions(replace(checked.predictions, split=split)), table).why_missing
    gone = np.where((checked.predictions.split == 1) & (np.arange(N) >= 19), 0, checked.predictions.split)
    small = one(check_predictions(replace(checked.predictions, split=gone)), table)
    assert small.why_missing == "fewer than 20 forget samples that shadow models know (n = 19)"


def test_the_threshold_is_where_both_rates_are_farthest_apart():
    scores = np.array([[0.1, 0.4, 0.45, 0.9]])
    truth = np.array([[False, True, False, True]])
    found = best_threshold(scores, truth)
    gain = (scores[truth] > found).mean() - (scores[~truth] > found).mean()
    assert gain == 0.5
