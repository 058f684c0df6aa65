"""Forward passes that change nothing: logits, features and accuracy of rows."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import EnvironmentFailure
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.runtime import Runtime


def infer(
    model: Classifier,
    source: BatchSource,
    rows: npt.NDArray[np.int64],
    runtime: Runtime,
    *,
    size: int = 512,
    features: bool = False,
) -> torch.Tensor:
    """Logits (or features) of rows in eval mode, in their order; float32 on the device, [len(rows), classes or d].

    On several processes each passes a contiguous part of the rows (all, where there are fewer rows than processes), and all
    get all results.
    The model's mode is restored afterwards; running statistics are frozen.  Where the GPU's memory is too small, the
    pass is repeated with half the batch.

    Raises:
        EnvironmentFailure: one sample does not fit.
    """
    world = runtime.world
    if world.size > 1 and len(rows) >= world.size:
        source.mark(torch.from_numpy(rows))
        own = _infer_here(model, source, rows[world.part(len(rows))], runtime, size, features)
        return world.gathered(own, len(rows))
    return _infer_here(model, source, rows, runtime, size, features)


def _infer_here(
    model: Classifier, source: BatchSource, rows: npt.NDArray[np.int64], runtime: Runtime, size: int, features: bool
) -> torch.Tensor:
    was_training = model.training
    model.eval()
    try:
        while size >= 1:
            out = _attempt(model, source, rows, runtime, size, features)
            if out is not None:
                return out
            size //= 2
    finally:
        model.train(was_training)
    raise EnvironmentFailure("out of GPU memory with a single sample: free the device, or use --device cpu")


@torch.no_grad()
def _attempt(
    model: Classifier, source: BatchSource, rows: npt.NDArray[np.int64], runtime: Runtime, size: int, features: bool
) -> torch.Tensor | None:
    out: list[torch.Tensor] = []
    order = source.by_length(rows)
    try:
        with runtime.autocast():
            for batch in source.batches(rows if order is None else rows[order], size):
                out.append((model.features(batch.pixels) if features else model(batch.pixels)).float())
    except torch.OutOfMemoryError:
        return None
    found = torch.cat(out)
    if order is None:
        return found
    placed = torch.empty_like(found)
    placed[torch.from_numpy(order).to(found.device)] = found
    return placed


def accuracy(model: Classifier, source: BatchSource, rows: npt.NDArray[np.int64], runtime: Runtime) -> float:
    """Share of rows that the model gets right, in [0, 1]; NaN for no rows or logits that are not finite."""
    if not len(rows):
        return math.nan
    logits = infer(model, source, rows, runtime)
    if not bool(torch.isfinite(logits).all()):
        return math.nan
    index = torch.from_numpy(rows).to(source.device)
    return float((logits.argmax(1) == source.target[index]).float().mean())
