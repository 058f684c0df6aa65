"""How fast a model relearns the forget set: a curve of its loss over short epochs, for several seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from grmu_audit.data.batches import Batch, BatchSource
from grmu_audit.models.classifier import Classifier, copy_model
from grmu_audit.training.inference import infer
from grmu_audit.training.runtime import Runtime

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RelearningConfig:
    """How it is relearned."""

    runs: int = 3
    """Seeds."""
    epochs: int = 20
    """Most epochs."""
    samples: int = 500
    """Random training samples an epoch."""
    rate: float = 0.01
    """Learning rate of SGD with momentum 0.9."""
    batch: int = 50
    """Samples a step."""


RELEARNING = RelearningConfig()


def relearn_curves(
    model: Classifier, source: BatchSource, forget: Rows, runtime: Runtime, config: RelearningConfig = RELEARNING
) -> npt.NDArray[np.float64]:
    """Mean cross-entropy of the forget set before and after each epoch of ordinary training; [runs, 1 + epochs].

    SGD on random training samples, in eval mode (running statistics are frozen).  A run ends early, and keeps its last value,
    once the loss is below 0.01 nats.

    Args:
        model: on the source's device; not changed.
        source: the data.
        forget: the forget set.
        runtime: seed.
        config: seeds, epochs, samples.
    """
    train = source.dataset.rows("train")
    curves = np.empty((config.runs, 1 + config.epochs))
    for run in range(config.runs):
        student = copy_model(model).eval()
        optimizer = torch.optim.SGD(student.parameters(), lr=config.rate, momentum=0.9)
        curves[run] = curves[run, 0] = _loss(student, source, forget, runtime)
        for epoch in range(config.epochs):
            generator = runtime.generator("relearn", run, epoch)
            chosen = train[torch.randperm(len(train), generator=generator)[: config.samples].numpy()]
            _epoch(student, optimizer, source.batches(chosen, config.batch, generator))
            curves[run, 1 + epoch :] = _loss(student, source, forget, runtime)
            if not curves[run, -1] >= 0.01:
                break
    return curves


def _epoch(student: Classifier, optimizer: torch.optim.Optimizer, batches: Iterator[Batch]) -> None:
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(student(batch.pixels), batch.target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _loss(student: Classifier, source: BatchSource, rows: Rows, runtime: Runtime) -> float:
    logits = infer(student, source, rows, runtime)
    target = source.target[torch.from_numpy(rows).to(source.device)]
    return float(functional.cross_entropy(logits.float(), target))
