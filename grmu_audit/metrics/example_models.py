"""Made-up measurements of the example's models, for the pages of metrics that need the model itself or shadow models."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from grmu_audit.metrics.example import KINDS, example
from grmu_audit.records.predictions import FloatArray, IntArray
from grmu_audit.records.probes import ATTACKS, LayerTable, Probes
from grmu_audit.records.shadows import ShadowTable

_FOLDS = 20
_SHADOWS = 16


def example_probes(kind: str = "unlearned") -> Probes:
    """Features, answers under attack, variances of two layers, and curves of learning again of one of the example's models.

    >>> sorted(example_probes().missing)
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
    return Probes(p.ids, attacked, features, _layers(p.group[test], kind), curves)


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
    own: npt.NDArray[np.float64] = np.asarray(p.logits, dtype=np.float64)
    hardness = own[np.arange(len(p)), p.target] - own[np.arange(len(p)), 1 - p.target] - 0.5 * (p.split < 2)
    margin = hardness + 0.6 * member + rng.normal(0, 0.7, member.shape)
    forgotten = member & p.mask("forget")
    after = margin - 0.3 * forgotten
    return ShadowTable(p.ids, margin, member, np.ones(len(p), dtype=bool), after, forgotten)


def _halves(rng: np.random.Generator, n: int) -> npt.NDArray[np.bool_]:
    """[models, n] memberships; two models in turn share a cut."""
    first = np.stack([rng.permutation(n) < n // 2 for _ in range(_SHADOWS // 2)])
    return np.stack([first, ~first], axis=1).reshape(_SHADOWS, n)
