"""Made-up measurements of three models, and the code of the examples on the pages of metrics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.records import Predictions
from grmu_audit.records.predictions import FloatArray, IntArray
from grmu_audit.records.white_box import (
    ATTACKS,
    MIXTURES,
    PRUNED,
    Answers,
    LayerTable,
    ShadowTable,
    WhiteBoxOutputs,
    epoch_name,
    mixture_name,
)

KINDS = ("unlearned", "baseline", "retrained")
"""The three models of the example."""
IMPORTS = "from grmu_audit.metrics import check_predictions\nfrom grmu_audit.metrics.catalog.examples import example\n"
"""First lines of an example."""
_PRINT = (
    'found = next(outcome for outcome in outcomes if outcome.metric == "{name}")\n'
    "low, high = found.statistic.interval(0.95)\n"
    'print(f"{found.metric} = {found.estimate:.3f}, 95 % interval {low:.3f} to {high:.3f}, n = {found.basis.n}")'
)


def example_code(code: str, name: str) -> str:
    """The example on the page of a metric: code that gives ``outcomes``, then lines that print the metric of that name."""
    return (code + _PRINT).replace("{name}", name, 1)


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
    requested = np.where(rare, 0.3, np.where((target == 0) & (attribute == 1), 0.05, 0.0))
    split[(split == 0) & (rng.random(n) < requested)] = 1
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


_FOLDS = 20
_SHADOWS = 16


def example_white_box(kind: str = "unlearned") -> WhiteBoxOutputs:
    """Features, predictions under attack, variances of two layers, relearning curves, and answers after changes of the weights.

    >>> sorted(example_white_box().missing)
    []
    """
    p = example(kind)
    rng = np.random.default_rng([5, KINDS.index(kind)])
    test = p.mask("test")
    attacked = {}
    for strength, name in enumerate(ATTACKS):
        answer = np.where(rng.random(len(p)) < 0.05 * (1 + strength), 1 - p.target, p.prediction)
        attacked[name] = np.where(test, answer, -1).astype(np.int64)
    centre = np.eye(4)[p.target] * 2 + 0.5 * np.random.default_rng(6).normal(size=(4, 4))[p.group]
    features = (centre + rng.normal(0, 1.0, (len(p), 4))).astype(np.float32)
    start = {"unlearned": 0.6, "baseline": 0.3, "retrained": 1.2}[kind]
    curves = start * 0.7 ** np.arange(13) * np.array([[1.0], [0.9], [1.1]])
    distance = {"unlearned": 0.2, "retrained": 0.9}.get(kind)
    return WhiteBoxOutputs(
        p.ids, attacked, features, _layers(p.group[test], kind), curves, changed=_changed(p, kind), distance=distance
    )


def _changed(p: Predictions, kind: str) -> dict[str, Answers]:
    """What unlearning took from the forget set comes back epoch by epoch; the retrained model never had it."""
    rng, own = np.random.default_rng([9, KINDS.index(kind)]), _margin(p)
    rise = {"unlearned": 0.03, "baseline": 0.0, "retrained": 0.01}[kind] * p.mask("forget")
    found = {epoch_name(epoch): own + rise * epoch + rng.normal(0, 0.1, len(p)) * (epoch > 0) for epoch in range(6)}
    found |= {name: own + rng.normal(0, noise, len(p)) for name, noise in (("int8", 0.01), ("int4", 0.1), (PRUNED, 0.3))}
    if kind != "baseline":
        before, hump = _margin(example("baseline")), {"unlearned": 0.02, "retrained": 0.5}[kind]
        found |= {mixture_name(share): share * own + (1 - share) * before - hump for share in MIXTURES}
    return {name: Answers(np.where(m > 0, p.target, 1 - p.target), m.astype(np.float32)) for name, m in found.items()}


def _margin(p: Predictions) -> FloatArray:
    """[n] margins of the example's two classes."""
    logits: FloatArray = np.asarray(p.logits, dtype=np.float64)
    return logits[np.arange(len(p)), p.target] - logits[np.arange(len(p)), 1 - p.target]


def _layers(group: IntArray, kind: str) -> LayerTable:
    """Variances that differ by class more at the second layer; leaving out a fold moves them a little."""
    rng = np.random.default_rng([7, KINDS.index(kind)])
    spread = {"unlearned": 0.5, "baseline": 0.3, "retrained": 0.35}[kind]
    noise = rng.normal(0, 0.002, (2, 1 + _FOLDS, 4))
    by_group: FloatArray = 1 + spread * np.array([[0.2], [1.0]])[:, :, None] * np.array([0.0, 0.1, 1.0, 0.9]) + noise
    by_class = by_group.reshape(2, 1 + _FOLDS, 2, 2).mean(axis=3)
    points = {"var/input": 1.0, "std/input": 0.5, "var/output": 0.8, "std/output": 0.4}
    values = {f"{key}/class": scale * by_class for key, scale in points.items()}
    values |= {f"{key}/group": scale * by_group for key, scale in points.items()}
    counts = np.stack([np.bincount(group[fold::_FOLDS], minlength=4) for fold in range(_FOLDS)])
    return LayerTable(("norm1", "norm2"), np.array([0, 1]), np.arange(4), 2, counts.astype(np.int64), values)


def example_shadows() -> ShadowTable:
    """Margins of 16 shadow models of the example's samples, before and after they unlearned their part of the forget set.

    >>> example_shadows().margin.shape
    (16, 12000)
    """
    p = example()
    rng = np.random.default_rng(8)
    member = _halves(rng, len(p))
    hardness = _margin(p) - 0.5 * (p.split < 2) - rng.normal(0, 0.7, len(p))
    margin = hardness + 0.6 * member + rng.normal(0, 0.7, member.shape)
    forgotten = member & p.mask("forget")
    after = margin - 0.3 * forgotten
    return ShadowTable(p.ids, margin, member, np.ones(len(p), dtype=bool), after, forgotten)


def _halves(rng: np.random.Generator, n: int) -> npt.NDArray[np.bool_]:
    """[models, n] memberships; two models in turn share a cut."""
    first = np.stack([rng.permutation(n) < n // 2 for _ in range(_SHADOWS // 2)])
    return np.stack([first, ~first], axis=1).reshape(_SHADOWS, n)
