"""Attack scores and curves."""

from __future__ import annotations

import numpy as np
import pytest
from support.random_predictions import made

from grmu_audit.metrics.scores import attack_scores, roc, standard_error


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
