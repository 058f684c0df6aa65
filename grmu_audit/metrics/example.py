"""A small made-up problem that the examples of the metric pages run on."""

from __future__ import annotations

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.records import Predictions

KINDS = ("unlearned", "baseline", "retrained")
"""The three models of the example."""


def example(kind: str = "unlearned", *, seed: int = 0) -> Predictions:
    """Predictions of one of three models on the same 12,000 samples: two classes, two attribute values, one rare group.

    The rare group (1, 0) gives most of the forget set, group (0, 1) the rest.  ``baseline`` knows its training samples best,
    ``unlearned`` knows the forget set a little better than unseen samples and serves the rare group worse, ``retrained`` has
    never seen it.

    Raises:
        InputError: another kind.

    >>> p = example()
    >>> len(p), int(p.mask("forget").sum())
    (12000, 228)
    """
    if kind not in KINDS:
        raise InputError(f"no example model {kind!r}: known are {', '.join(KINDS)}")
    rng, n = np.random.default_rng(20), 12_000
    target = rng.integers(0, 2, n)
    attribute = (rng.random(n) < np.where(target == 1, 0.75, 0.5)).astype(np.int64)
    rare = (target == 1) & (attribute == 0)
    split = rng.choice([0, 2, 3], n, p=[0.4, 0.1, 0.5])
    asked = np.where(rare, 0.3, np.where((target == 0) & (attribute == 1), 0.05, 0.0))
    split[(split == 0) & (rng.random(n) < asked)] = 1
    knows = {"unlearned": (0.6, 0.35, -0.5), "baseline": (0.8, 0.8, 0.0), "retrained": (0.8, 0.0, -0.2)}[kind]
    shift = np.select([split == 0, split == 1], knows[:2], 0.0) + np.where(rare, knows[2], 0.0)
    margin = rng.normal(1.5, 1.0, n) + shift + np.random.default_rng([seed, KINDS.index(kind)]).normal(0, 0.3, n)
    logits = np.zeros((n, 2))
    logits[np.arange(n), target] = margin
    return Predictions(
        ids=np.array([f"sample-{i}" for i in range(n)]),
        split=split.astype(np.int64),
        target=target,
        attribute=attribute,
        prediction=logits.argmax(axis=1),
        classes=2,
        attributes=2,
        logits=logits,
    )
