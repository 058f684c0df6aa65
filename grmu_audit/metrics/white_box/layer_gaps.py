"""Fairness-gap of the layers, and its rank correlation with robustness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.intervals import Replicated
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.metrics.checked_predictions import Ints
from grmu_audit.metrics.outcome import Basis, Outcome
from grmu_audit.records import Group
from grmu_audit.records.white_box import LayerTable, WhiteBoxOutputs

GAPS = {"FAIRNESS_GAP": "class", "FAIRNESS_GAP_GROUP": "group"}
"""Fairness-gap metrics and what they compare."""
DEFINITION = ("var", "output")
"""Statistic and point of the fairness-gap in the value; the other readings are in its details."""
ENOUGH = 200
"""Samples per class below which the estimator is rough; stated in the details."""
_DRAWS = 10_000
"""Permutations of the test of a correlation."""


def measure_layer_gaps(outputs: WhiteBoxOutputs) -> Iterator[Outcome]:
    """``FAIRNESS_GAP`` over classes and ``FAIRNESS_GAP_GROUP`` over groups.

    Formula: mean over normalisation layers l of max_c s_c^l - min_c s_c^l, where s_c^l is the mean over channels of the
    variance (or standard deviation) of the activations of class (group) c at l, over samples and positions.  Range
    [0, inf), in squared units of the activation: compare it between models of one architecture only, towards a retrained
    model.  Details hold every layer's gap, the last layer's, the gap divided by the mean variance, and the other readings.
    The interval is a jackknife over 20 folds of persons; a span of noisy numbers is biased upwards.  Undefined for a
    network without normalisation layers, and where fewer than two classes have two samples.

    Args:
        outputs: what was collected of the model.

    Source: Tran and Woo (2025); by group: this project.
    """
    for name, by in GAPS.items():
        if outputs.layers is None:
            missing = outputs.missing.get("layers")
            yield Outcome.missing(name, missing.text if missing else "the network has no normalisation layer", Basis(0))
        else:
            yield _gap(name, outputs.layers, by)


def _gap(name: str, table: LayerTable, by: str) -> Outcome:
    layers = gap_per_layer(table, by)
    basis = _gap_basis(table, by, _gap_details(table, by, layers[:, 0]))
    if not np.isfinite(layers[:, 0]).all():
        what = "classes" if by == "class" else "groups"
        return Outcome.missing(name, f"fewer than two {what} have two test samples", basis)
    means = layers.mean(axis=0)
    return Outcome(name, basis, Replicated.jackknife(float(means[0]), means[1:], low=0.0))


def gap_per_layer(table: LayerTable, by: str, definition: tuple[str, str] = DEFINITION) -> Floats:
    """[layers, 1 + folds] span over classes or groups; NaN where fewer than two have a variance."""
    values = table.values[f"{definition[0]}/{definition[1]}/{by}"]
    known = np.isfinite(values)
    high = np.where(known, values, -np.inf).max(axis=2)
    low = np.where(known, values, np.inf).min(axis=2)
    result: Floats = np.where(known.sum(axis=2) >= 2, high - low, np.nan)
    return result


def _gap_details(table: LayerTable, by: str, gaps: Floats) -> dict[str, Any]:
    if not np.isfinite(gaps).all():
        return {}
    definition = f"{'/'.join(DEFINITION)}/{by}"
    values = table.values[definition][:, 0]
    known = np.isfinite(values)
    middle = np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1)
    relative = np.divide(gaps, middle, out=np.zeros_like(gaps), where=middle > 0)
    readings = {
        f"{stat}/{point}": float(gap_per_layer(table, by, (stat, point))[:, 0].mean())
        for stat in ("var", "std")
        for point in ("input", "output")
    }
    return {
        "layers": dict(zip(table.layers, gaps.tolist(), strict=True)),
        "last": float(gaps[-1]),
        "relative": float(relative.mean()),
        "definition": definition,
        "readings": readings,
        "enough_samples": int(_columns(table, by).min()) >= ENOUGH,
    }


def _columns(table: LayerTable, by: str) -> Ints:
    """Samples of each class or group."""
    people: Ints = table.counts.sum(axis=0)
    if by == "group":
        return people
    index = np.searchsorted(table.classes, table.groups // table.attributes)
    return np.bincount(index, weights=people, minlength=len(table.classes)).astype(np.int64)


def _gap_basis(table: LayerTable, by: str, details: dict[str, Any]) -> Basis:
    people = _columns(table, by)
    least = int(people.argmin())
    code = int(table.groups[least])
    group = Group(code // table.attributes, code % table.attributes) if by == "group" else None
    return Basis(int(table.counts.sum()), int(people[least]), group, details=details)


def layer_gap_changes(sides: tuple[WhiteBoxOutputs, WhiteBoxOutputs]) -> Iterator[Outcome]:
    """Candidate minus other of both fairness-gaps, jackknifed on the same folds; details: mean over layers of abs(change)."""
    first, second = sides[0].layers, sides[1].layers
    if first is None or second is None or first.layers != second.layers:
        return
    for name, by in GAPS.items():
        moved = gap_per_layer(first, by) - gap_per_layer(second, by)
        if np.isfinite(moved[:, 0]).all():
            basis = _gap_basis(first, by, {"distance": float(np.abs(moved[:, 0]).mean())})
            means = moved.mean(axis=0)
            yield Outcome(name, basis, Replicated.jackknife(float(means[0]), means[1:]))


@dataclass(frozen=True)
class Correlation:
    """A rank correlation with its permutation test."""

    value: float
    """Spearman's rho within blocks, in [-1, 1]."""
    p_value: float
    """Two-sided: share of permutations within blocks with at least this abs(rho), the data's own order among them."""
    n: int
    """Points."""


def correlation(x: Sequence[float], y: Sequence[float], block: Sequence[int] | None = None) -> Correlation:
    """Spearman's rank correlation of ranks taken within blocks (such as seeds), with a permutation test within blocks.

    Args:
        x: [n] numbers, such as fairness-gaps of audited models.
        y: [n] numbers, such as their accuracy under attack.
        block: [n] block of each point; None: one block.

    Raises:
        InputError: fewer than four points, or one of the two does not vary.

    >>> correlation([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]).value
    -1.0
    """
    blocks = np.zeros(len(x), dtype=np.int64) if block is None else np.asarray(block)
    a, b = (np.asarray(values, dtype=np.float64).copy() for values in (x, y))
    for code in np.unique(blocks):
        for values in (a, b):
            ranks = _ranks(values[blocks == code])
            values[blocks == code] = ranks - ranks.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    if len(a) < 4 or not scale > 0:
        raise InputError(f"a correlation needs four points that differ in both numbers; there are {len(a)}")
    rho = float(a @ b) / scale
    rng = np.random.default_rng(0)
    keys = rng.random((_DRAWS, len(a))) + np.searchsorted(np.unique(blocks), blocks)
    places = np.argsort(blocks, kind="stable")
    shuffled = np.empty((_DRAWS, len(a)))
    shuffled[:, places] = b[np.argsort(keys, axis=1)]
    extreme = int((np.abs(shuffled @ a) >= abs(rho) * scale - 1e-9).sum())
    return Correlation(rho, (extreme + 1) / (_DRAWS + 1), len(a))


def _ranks(values: Floats) -> Floats:
    """Rank of each number from 1, equal ones sharing their mean rank; NaN where any number is one."""
    _, position, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(count) - (count - 1) / 2)[position]
    return ranks if np.isfinite(values).all() else np.full(len(values), np.nan)
