"""Plain supervised training: cross-entropy over given rows, optionally with sampling weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch.nn import functional

from grmu_audit.data.batches import BatchSource
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.config import TrainConfig
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
    """Train in place on ``rows`` and return the network.

    Args:
        model: new or trained network, on the device.
        source: the data.
        rows: what is trained on, and what the epoch is chosen by.
        config: optimiser, schedule, epochs.
        runtime: device, seed, log.

    Raises:
        DivergedError: see ``run_epochs``.
    """

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
