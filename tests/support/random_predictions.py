"""Random predictions, and one value among many."""

from __future__ import annotations

import numpy as np

from grmu_audit.records import Predictions


def made(n=600, classes=2, attributes=2, seed=0, subjects=None, scores=True) -> Predictions:
    rng = np.random.default_rng(seed)
    target, attribute = rng.integers(0, classes, n), rng.integers(0, attributes, n)
    logits = rng.normal(size=(n, classes)) + 1.3 * np.eye(classes)[target] * (1 + attribute[:, None])
    return Predictions(
        ids=np.array([f"s{i}" for i in range(n)]),
        split=rng.choice(4, n, p=[0.4, 0.1, 0.2, 0.3]),
        target=target,
        attribute=attribute,
        prediction=logits.argmax(axis=1),
        classes=classes,
        attributes=attributes,
        logits=logits if scores else None,
        subject=None if subjects is None else rng.integers(0, subjects, n),
    )


def named(values, name, group=None):
    return next(v for v in values if (v.name, v.group) == (name, group))
