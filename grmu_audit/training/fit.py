"""Plain supervised training: cross-entropy over given rows, optionally with sampling weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch.nn import functional

from grmu_audit.data.batches import BatchSource
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.inference import accuracy
from grmu_audit.training.loop import run_epochs, steps_of
from grmu_audit.training.plan import Phase
from grmu_audit.training.runtime import Runtime


def fit(
    model: Classifier,
    source: BatchSource,
    rows: npt.NDArray[np.int64],
    val: npt.NDArray[np.int64],
    config: TrainConfig,
    runtime: Runtime,
    *,
    weights: npt.NDArray[np.float64] | None = None,
) -> Classifier:
    """Train in place on ``rows`` and return the network.

    Args:
        model: fresh or trained network, on the device.
        source: the data.
        rows: [n] training rows.
        val: validation rows for the choice of the epoch; empty: the last epoch is returned.
        config: optimiser, schedule, epochs.
        runtime: device, seed, log.
        weights: [n] sampling weights (REWEIGHT); None samples each row once an epoch.

    Raises:
        DivergedError: see ``run_epochs``.
    """

    def plan(epoch: int) -> list[Phase]:
        """One pass over the rows."""
        generator = runtime.generator("train", epoch)
        return [
            Phase(
                "train",
                lambda: source.batches(rows, config.batch_size, generator, weights=weights, augment=config.augment),
                lambda batch: functional.cross_entropy(model(batch.pixels), batch.target),
                steps_of(rows, config.batch_size),
            )
        ]

    validate = (lambda m: accuracy(m, source, val, runtime)) if len(val) else None
    return run_epochs(model, plan, config, runtime, validate=validate)
