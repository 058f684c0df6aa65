"""Attack scores and curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.random_predictions import made

from grmu_audit.metrics.scores import attack_scores, operating_threshold, per_sample_loss, roc, standard_error


def test_attack_scores_follow_their_definitions():
    p = made(n=50, classes=3)
    prob = np.exp(p.logits) / np.exp(p.logits).sum(axis=1, keepdims=True)
    own = prob[np.arange(50), p.target]
    scores = attack_scores(p)
    others = np.where(np.arange(3) == p.target[:, None], 0, prob * np.log(1 - prob)).sum(axis=1)
    assert scores["margin"] == pytest.approx(np.log(own) - np.log(1 - own), abs=1e-9)
    assert scores["entropy"] == pytest.approx((prob * np.log(prob)).sum(axis=1), abs=1e-9)
    assert scores["modified_entropy"] == pytest.approx((1 - own) * np.log(own) + others, abs=1e-9)
    assert scores["loss"] == pytest.approx(np.log(own), abs=1e-9)


def test_delong_standard_error_agrees_with_the_bootstrap():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.7, 1, 150), rng.normal(0, 1, 200)
    curve = roc(a, b, np.ones(200))
    draws = [roc(rng.choice(a, 150), rng.choice(b, 200), np.ones(200)).value for _ in range(800)]
    assert standard_error(curve.influence, None) == pytest.approx(np.std(draws), rel=0.1)


def test_the_loss_of_a_sample_is_that_of_its_logits_else_the_one_that_is_given():
    p, given = made(n=50, classes=3), np.linspace(0.0, 2.0, 50)
    own = np.exp(p.logits[np.arange(50), p.target]) / np.exp(p.logits).sum(axis=1)
    assert per_sample_loss(replace(p, loss=given)) == pytest.approx(-np.log(own))
    assert per_sample_loss(replace(p, loss=given, logits=None)) is given
    assert per_sample_loss(replace(p, logits=None)) is None


@pytest.mark.parametrize(
    ("rate", "found"), [(0.0, (0.9, 0.0)), (0.3, (0.9, 0.0)), (0.6, (0.5, 0.5)), (0.99, (0.1, 0.75)), (1.0, (-np.inf, 1.0))]
)
def test_the_threshold_of_a_rate_lets_no_more_weight_above_it(rate, found):
    assert operating_threshold(np.array([0.5, 0.1, 0.9]), np.array([1.0, 1.0, 2.0]), rate) == found
