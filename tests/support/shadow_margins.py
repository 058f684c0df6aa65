"""Made-up margins of shadow models whose membership is known."""

from __future__ import annotations

import numpy as np

from grmu_audit.metrics import CheckedPredictions, check_predictions
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


def problem(seed: int, effect: float, left: float = 0.0) -> tuple[CheckedPredictions, ShadowTable]:
    """Predictions of a target whose forget set are 150 members, and the table; ``left``: what unlearning leaves of the effect."""
    margin, member, target = pool(seed, effect)
    rng = np.random.default_rng([seed, 1])
    split = np.repeat([1, 0, 2, 3], [150, 150, 100, 200])
    label, attribute = rng.integers(0, 2, N), rng.integers(0, 2, N)
    logits = np.zeros((N, 2))
    logits[np.arange(N), label] = target
    ids = np.array([f"p{i}" for i in range(N)])
    f = check_predictions(Predictions(ids, split, label, attribute, logits.argmax(1), 2, 2, logits=logits))
    forgotten = member & (np.arange(N) < 150)
    after = margin - effect * forgotten + left * forgotten
    turn = rng.permutation(N)
    return f, ShadowTable(ids[turn], margin[:, turn], member[:, turn], np.ones(N, bool), after[:, turn], forgotten[:, turn])
