"""Models that have forgotten nothing and look otherwise: functions of the predictions of the model before the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from grmu_audit.records import Predictions
from grmu_audit.records.predictions import FloatArray

Cheat = Callable[[Predictions, int], Predictions]
"""Predictions of the model before and a seed, which only noise reads, to predictions that must not pass."""


def _with_logits(before: Predictions, logits: FloatArray) -> Predictions:
    return replace(before, logits=logits, prediction=logits.argmax(1).astype(np.int64), loss=None)


def _logits(before: Predictions) -> FloatArray:
    if before.logits is None:
        raise ValueError("these predictions have no logits to change")
    return before.logits


def scaled(before: Predictions, factor: float) -> Predictions:
    """Logits times a factor above 0: no answer changes, all of them are less (below 1) or more certain."""
    return _with_logits(before, factor * _logits(before))


def shifted(before: Predictions, size: float) -> Predictions:
    """Less evidence for the class that most forget samples are of: its logit is lowered by ``size`` everywhere."""
    logits = _logits(before).copy()
    logits[:, np.bincount(before.target[before.mask("forget")]).argmax()] -= size
    return _with_logits(before, logits)


def clipped(before: Predictions, most: float) -> Predictions:
    """Margins of two classes cut to [-most, most]: z_1 - z_0 is cut, and halved between the two logits.

    Raises:
        ValueError: more than two classes.
    """
    logits = _logits(before)
    if logits.shape[1] != 2:
        raise ValueError(f"clipped margins are defined for two classes, not for {logits.shape[1]}")
    half = np.clip(logits[:, 1] - logits[:, 0], -most, most) / 2
    return _with_logits(before, np.column_stack([-half, half]))


def labels_only(before: Predictions) -> Predictions:
    """Logit 1 for the predicted class and 0 for the others."""
    return _with_logits(before, np.eye(before.classes)[before.prediction])


def noisy(before: Predictions, sd: float, seed: int) -> Predictions:
    """Normal noise on every logit, with standard deviation ``sd``."""
    logits = _logits(before)
    return _with_logits(before, logits + sd * np.random.default_rng([seed, 0x6E01]).standard_normal(logits.shape))


CHEATS: dict[str, Cheat] = {
    "untouched": lambda before, seed: before,
    "logits x 0.3": lambda before, seed: scaled(before, 0.3),
    "logits x 0.7": lambda before, seed: scaled(before, 0.7),
    "logits x 1.5": lambda before, seed: scaled(before, 1.5),
    "logit of the forgotten class lowered by 2": lambda before, seed: shifted(before, 2.0),
    "margins clipped to 1": lambda before, seed: clipped(before, 1.0),
    "labels only": lambda before, seed: labels_only(before),
    "noise of 1 on the logits": lambda before, seed: noisy(before, 1.0, seed),
    "noise of 4 on the logits": lambda before, seed: noisy(before, 4.0, seed),
}
"""By name, as printed."""


def partway(before: Predictions, retrained: Predictions, share: float) -> Predictions:
    """Logits on the way from the model before (0) to a retrained one (1): forgotten in part, so neither right nor wrong.

    Raises:
        ValueError: the two are not of the same samples.
    """
    if not np.array_equal(before.ids, retrained.ids):
        raise ValueError("the two models were not asked about the same samples")
    return _with_logits(before, (1.0 - share) * _logits(before) + share * _logits(retrained))
