"""Plain supervised training: cross-entropy over given rows, optionally with sampling weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
from torch.nn import functional

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.guaranteed import LinearBody, ShardEnsemble
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.guaranteed.convex import fit_convex
from grmu_audit.training.guaranteed.shards import fit_shards
from grmu_audit.training.inference import accuracy
from grmu_audit.training.loop import run_epochs, steps_of
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainingRows:
    """Which rows a network is trained on."""

    train: Rows
    """[n] training rows."""
    val: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Validation rows for the choice of the epoch; empty: the last epoch is returned."""
    weights: npt.NDArray[np.float64] | None = None
    """[n] sampling weights (REWEIGHT); None samples each training row once an epoch."""


def fit(model: Classifier, source: BatchSource, rows: TrainingRows, config: TrainConfig, runtime: Runtime) -> Classifier:
    """Train in place on ``rows``, as its architecture is trained, and return the network.

    A linear model is taken to the minimum of its convex loss, the members of an ensemble of shards are trained on their shards,
    and every other network by epochs.

    Args:
        model: new or trained network, on the device.
        source: the data.
        rows: what is trained on, and what the epoch is chosen by.
        config: optimiser, schedule, epochs.
        runtime: device, seed, log.

    Raises:
        DivergedError: see ``run_epochs``.
        InputError: sampling weights for a linear model.
    """
    if isinstance(model.body, LinearBody):
        if rows.weights is not None:
            raise InputError("linear: the convex loss counts every row once, so that REWEIGHT cannot act: use --no-reweight")
        return fit_convex(model, source, rows.train, runtime)
    if isinstance(model.body, ShardEnsemble):
        return fit_shards(model, source, rows.train, partial(_fit_member, source, rows, config, runtime), runtime)
    return fit_network(model, source, rows, config, runtime)


def fit_members(
    model: Classifier, source: BatchSource, rows: TrainingRows, config: TrainConfig, runtime: Runtime, only: Collection[int]
) -> Classifier:
    """``fit`` for some members of an ensemble of shards, by number; the others are not touched."""
    return fit_shards(model, source, rows.train, partial(_fit_member, source, rows, config, runtime), runtime, only)


def _fit_member(
    source: BatchSource, rows: TrainingRows, config: TrainConfig, runtime: Runtime, member: Classifier, own: Rows
) -> Classifier:
    """Train one member on its positions in the list of rows."""
    weights = None if rows.weights is None else rows.weights[own]
    return fit_network(member, source, TrainingRows(rows.train[own], rows.val, weights), config, runtime)


def fit_network(model: Classifier, source: BatchSource, rows: TrainingRows, config: TrainConfig, runtime: Runtime) -> Classifier:
    """Train in place by epochs on the cross-entropy of ``rows``; see ``fit``."""

    def plan(epoch: int) -> list[Phase]:
        """One pass over the rows."""
        generator = runtime.generator("train", epoch)
        return [
            Phase(
                "train",
                lambda: source.batches(rows.train, config.batch_size, generator, weights=rows.weights, augment=config.augment),
                lambda batch: functional.cross_entropy(model(batch.pixels), batch.target),
                steps_of(rows.train, config.batch_size),
            )
        ]

    validate = (lambda m: accuracy(m, source, rows.val, runtime)) if len(rows.val) else None
    return run_epochs(model, plan, config, runtime, Hooks(validate=validate))
