"""One optimisation step, split into smaller backward passes where the GPU's memory is too small."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from grmu_audit.data.batches import Batch
from grmu_audit.errors import EnvironmentFailure
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.plan import Phase
from grmu_audit.training.runtime import Runtime


def make_optimizer(model: Classifier, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser of a config over all parameters; frozen ones get no gradient and never move.

    Not fused: PyTorch's fused SGD fails where a parameter gets its first gradient in a later step than others, as the head does
    in methods whose first pass ends at the features.
    """
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    betas = (config.momentum, 0.999)
    return kind(model.parameters(), lr=config.learning_rate, betas=betas, weight_decay=config.weight_decay)


def gradient(model: Classifier, phase: Phase, batch: Batch, runtime: Runtime) -> torch.Tensor:
    """Accumulate the gradient of a phase's loss (and of the runtime's term) on a batch; returns the loss.

    On several processes each takes its part of the batch, and their gradients are added.
    On a GPU whose memory is too small the batch is halved and the gradients of the parts are added, weighted by their
    sizes: the same gradient for a loss that is a mean over samples, up to the batch statistics of normalisation layers.

    Raises:
        EnvironmentFailure: two samples do not fit.
    """
    world = runtime.world
    if world.size == 1:
        return _gradient_here(model, phase, batch, runtime)
    own = part_of(batch, world.part(len(batch.rows)))
    loss = _gradient_here(model, phase, own, runtime) if len(own.rows) else batch.target.new_zeros((), dtype=torch.float32)
    return world.add_gradients(model, loss, len(own.rows) / len(batch.rows))


def _gradient_here(model: Classifier, phase: Phase, batch: Batch, runtime: Runtime) -> torch.Tensor:
    while True:
        loss = _attempt(model, phase, batch, runtime)
        if loss is not None:
            return loss
        _shrink(runtime, len(batch.rows))
        model.zero_grad(set_to_none=True)


def _attempt(model: Classifier, phase: Phase, batch: Batch, runtime: Runtime) -> torch.Tensor | None:
    """The loss, or None where the memory was too small."""
    try:
        most = None if runtime.micro_batch is None else max(1, runtime.micro_batch // phase.width)
        return _accumulate(model, phase, microbatches(batch, most), len(batch.rows), runtime)
    except torch.OutOfMemoryError:
        return None


def _accumulate(model: Classifier, phase: Phase, pieces: Sequence[Batch], size: int, runtime: Runtime) -> torch.Tensor:
    losses = []
    for piece in pieces:
        with runtime.autocast():
            loss = phase.loss(piece)
            extra = runtime.term.loss(model, piece) if runtime.term is not None else None
        if extra is not None:
            loss = loss + extra
        if len(pieces) > 1:
            loss = loss * (len(piece.rows) / size)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()


def microbatches(batch: Batch, most: int | None) -> list[Batch]:
    """The batch in parts of at most ``most`` samples; a rest of one joins the part before it."""
    if most is None or len(batch.rows) <= most:
        return [batch]
    bounds = list(range(0, len(batch.rows), most))
    if len(batch.rows) - bounds[-1] == 1:
        bounds.pop()
    ends = [*bounds[1:], len(batch.rows)]
    return [part_of(batch, slice(a, b)) for a, b in zip(bounds, ends, strict=True)]


def part_of(batch: Batch, part: slice) -> Batch:
    """Some samples of a batch."""
    return Batch(batch.pixels[part], batch.target[part], batch.group[part], batch.rows[part])


def _shrink(runtime: Runtime, size: int) -> None:
    """Halve the largest part, say so, and note it for the record."""
    smaller = min(size, runtime.micro_batch or size) // 2
    if smaller < 2:
        raise EnvironmentFailure(
            "out of GPU memory with two samples a step: free the device, or use --device cpu; nothing was registered"
        )
    runtime.micro_batch = smaller
    runtime.notes["micro_batch"] = smaller
    if runtime.device.type == "cuda":
        torch.cuda.empty_cache()
    runtime.observer.note(
        f"out of GPU memory: steps of {size} samples are now taken in parts of {smaller} with accumulated gradients; "
        "batch statistics are those of the parts"
    )
