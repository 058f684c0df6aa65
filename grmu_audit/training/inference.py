"""Forward passes that change nothing: logits, features and accuracy of rows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import EnvironmentFailure
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.forms import Forward, forward_of
from grmu_audit.training.runtime import Runtime

LARGEST_BATCH = 512
"""Most samples that go through at once."""
ON_A_CPU = 6_000_000
"""Numbers in a batch of inputs on a CPU: larger batches of large images are slower there and take gigabytes."""


def batch_size(model: Classifier, device: torch.device) -> int:
    """Samples that go through a network at once, by the size of its inputs: a power of two from 32 to ``LARGEST_BATCH``.

    512 on a GPU; on a CPU 512 at 32 x 32 pixels, 256 at 64 x 64, 32 at 224 x 224.
    """
    if device.type != "cpu":
        return LARGEST_BATCH
    fitting = ON_A_CPU // math.prod(model.spec.image_size)
    return min(LARGEST_BATCH, max(32, 1 << max(fitting, 1).bit_length() - 1))


def infer(
    model: Classifier,
    source: BatchSource,
    rows: npt.NDArray[np.int64],
    runtime: Runtime,
    *,
    size: int | None = None,
    features: bool = False,
) -> torch.Tensor:
    """Logits (or features) of rows in eval mode, in their order; float32 on the device, [len(rows), classes or d].

    On several processes each passes a contiguous part of the rows (all, where there are fewer rows than processes), and all
    get all results.
    Precision and form are those of the runtime.  The model's mode is restored afterwards; running statistics are frozen.
    Where the GPU's memory is too small, the pass is repeated with half the batch.

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
    model: Classifier, source: BatchSource, rows: npt.NDArray[np.int64], runtime: Runtime, size: int | None, features: bool
) -> torch.Tensor:
    was_training = model.training
    model.eval()
    way = runtime.without_gradients.for_rows(len(rows))
    size = size or way.batch or batch_size(model, runtime.device)
    try:
        forward = forward_of(model, way, runtime.device, features=features)
        while size >= 1:
            out = _attempt(forward, source, rows, size)
            if out is not None:
                return out if features or not way.near_tie else _with_ties_in_fp32(model, source, rows, runtime, out)
            size //= 2
    finally:
        model.train(was_training)
    raise EnvironmentFailure("out of GPU memory with a single sample: free the device, or use --device cpu")


def _with_ties_in_fp32(
    model: Classifier, source: BatchSource, rows: npt.NDArray[np.int64], runtime: Runtime, logits: torch.Tensor
) -> torch.Tensor:
    """The logits with those near a tie computed again in fp32."""
    way = runtime.without_gradients
    near = near_ties(logits, way.near_tie)
    again = rows[near.cpu().numpy()]
    if len(again):
        exact = replace(runtime, inference=replace(way, precision="fp32", compile_from=None, near_tie=0.0))
        logits[near] = _infer_here(model, source, again, exact, None, features=False)
    return logits


def near_ties(logits: torch.Tensor, distance: float) -> torch.Tensor:
    """[n] whether the two largest of [n, classes] logits are nearer than a distance; a NaN is near."""
    largest = logits.topk(min(2, logits.shape[1]), dim=1).values
    return ~(largest[:, 0] - largest[:, -1] >= distance)


@torch.no_grad()
def _attempt(forward: Forward, source: BatchSource, rows: npt.NDArray[np.int64], size: int) -> torch.Tensor | None:
    out: list[torch.Tensor] = []
    order = source.by_length(rows)
    try:
        for batch in source.batches(rows if order is None else rows[order], size):
            out.append(forward(batch.pixels))
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
