"""Made-up predictions and outputs of one model."""

from __future__ import annotations

import numpy as np

from grmu_audit.metrics import CheckedPredictions, check_predictions
from grmu_audit.records import Predictions
from grmu_audit.records.white_box import Missing, MissingCode, WhiteBoxOutputs

N = 400


def problem(seed: int = 0) -> tuple[CheckedPredictions, WhiteBoxOutputs]:
    """400 samples of two classes and attributes; features hold the class, answers under attack fall for a third."""
    rng = np.random.default_rng(seed)
    target, attribute = rng.integers(0, 2, N), rng.integers(0, 2, N)
    logits = rng.normal(size=(N, 2)) + 3 * np.eye(2)[target]
    ids = np.array([f"p{i}" for i in range(N)])
    split = np.repeat([0, 1, 2, 3], [150, 60, 60, 130])
    p = Predictions(ids, split, target, attribute, logits.argmax(1), 2, 2, logits=logits, subject=np.arange(N) // 2)
    answer = np.where(rng.random(N) < 1 / 3, 1 - target, p.prediction)
    answer[split != 3] = -1
    features = (rng.normal(size=(N, 6)) + 4 * np.eye(6)[target]).astype(np.float32)
    shuffled = rng.permutation(N)
    outputs = WhiteBoxOutputs(
        ids[shuffled],
        {"FGSM@0.03137": answer[shuffled]},
        features[shuffled],
        missing={"AA@0.03137": Missing(MissingCode.NOT_INSTALLED, "not installed")},
    )
    return check_predictions(p), outputs
