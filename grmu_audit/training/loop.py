"""The one epoch loop: every training and every unlearning method runs through it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from grmu_audit.data.source import Batch, BatchSource
from grmu_audit.errors import DivergedError
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.progress import Progress
from grmu_audit.training.runtime import Runtime
from grmu_audit.training.schedule import factor

Loss = Callable[[Batch], torch.Tensor]


@dataclass(frozen=True)
class Phase:
    """One pass inside an epoch: where its batches come from and what is minimised on them."""

    name: str
    """For metrics, such as ``retain`` or ``forget``."""
    batches: Callable[[], Iterable[Batch]]
    """Makes the pass's batches."""
    loss: Loss
    """Scalar loss of a batch, with gradient."""
    steps: int
    """Number of batches, for the schedule."""
    before_step: Callable[[Batch], None] | None = None
    """Called between backward and step, for example to clip or mask gradients."""
    after_step: Callable[[Batch], None] | None = None
    """Called after the step, for example to put masked weights back."""


Plan = Callable[[int], Sequence[Phase]]
"""Epoch number (from 0) to its phases, in order."""


def run_epochs(
    model: Classifier,
    plan: Plan,
    config: TrainConfig,
    runtime: Runtime,
    *,
    validate: Callable[[Classifier], float] | None = None,
    stop: Callable[[int], bool] | None = None,
) -> Classifier:
    """Train ``model`` in place by the plan and return it (or its best epoch).

    SGD with momentum and weight decay; learning rate by ``schedule.factor`` over all planned steps; metrics of each
    epoch go to ``runtime.log``.

    Args:
        model: on the runtime's device; changed in place.
        plan: phases of each epoch.
        config: optimiser and schedule.
        runtime: device, seed, log.
        validate: validation accuracy after an epoch; with ``config.keep_best`` the best epoch is returned.
        stop: asked before each epoch; True ends the run.

    Raises:
        DivergedError: a loss or a weight is not finite; the caller registers nothing.
    """
    total = sum(phase.steps for epoch in range(config.epochs) for phase in plan(epoch))
    optimiser = torch.optim.SGD(
        model.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )
    step = 0
    best: tuple[float, dict[str, torch.Tensor]] | None = None
    with Progress(runtime.progress, config.epochs) as bar:
        for epoch in range(config.epochs):
            if stop is not None and stop(epoch):
                break
            metrics: dict[str, float] = {}
            for phase in plan(epoch):
                model.train()
                metrics[f"loss_{phase.name}"], step = _pass(model, phase, optimiser, config, runtime, step, total)
            metrics["learning_rate"] = optimiser.param_groups[0]["lr"]
            if validate is not None:
                metrics["val_accuracy"] = validate(model)
            _check_finite(model, metrics, epoch)
            if validate is not None and config.keep_best and (best is None or metrics["val_accuracy"] > best[0]):
                best = (metrics["val_accuracy"], copy.deepcopy(model.state_dict()))
            runtime.log(epoch, metrics)
            bar.advance(epoch + 1, " ".join(f"{k} {v:.3f}" for k, v in metrics.items() if k != "learning_rate"))
    if best is not None:
        model.load_state_dict(best[1])
    model.eval()
    return model


def _pass(
    model: Classifier, phase: Phase, optimiser: torch.optim.SGD, config: TrainConfig, runtime: Runtime, step: int, total: int
) -> tuple[float, int]:
    """All steps of one phase; returns its mean loss and the next step number."""
    losses: list[torch.Tensor] = []
    for batch in phase.batches():
        rate = config.learning_rate * factor(min(step, total - 1), total, config.warmup, config.schedule)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        with runtime.autocast():
            loss = phase.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        if phase.before_step is not None:
            phase.before_step(batch)
        optimiser.step()
        if phase.after_step is not None:
            phase.after_step(batch)
        losses.append(loss.detach())
        runtime.sample_gradients += len(batch.rows)
        step += 1
    return (float(torch.stack(losses).float().mean()) if losses else math.nan), step


def _check_finite(model: nn.Module, metrics: dict[str, float], epoch: int) -> None:
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if not bad and all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        return
    what = bad[0] if bad else "a weight"
    raise DivergedError(
        f"{what} is not finite in epoch {epoch + 1}; nothing was registered. Lower the learning rate or the number of epochs."
    )


def steps_of(rows: npt.NDArray[np.int64], size: int) -> int:
    """Batches of one shuffled pass, as ``BatchSource.batches`` makes them."""
    full, rest = divmod(len(rows), size)
    return full + int(rest > 1 or (rest == 1 and full == 0))


@torch.no_grad()
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

    The model's mode is restored afterwards; running statistics never move.
    """
    was_training = model.training
    model.eval()
    out: list[torch.Tensor] = []
    with runtime.autocast():
        for batch in source.batches(rows, size):
            out.append((model.features(batch.pixels) if features else model(batch.pixels)).float())
    model.train(was_training)
    return torch.cat(out)


def accuracy(model: Classifier, source: BatchSource, rows: npt.NDArray[np.int64], runtime: Runtime) -> float:
    """Share of rows that the model gets right, in [0, 1]; NaN for no rows or logits that are not finite."""
    if not len(rows):
        return math.nan
    logits = infer(model, source, rows, runtime)
    if not bool(torch.isfinite(logits).all()):
        return math.nan
    index = torch.from_numpy(rows).to(source.device)
    return float((logits.argmax(1) == source.target[index]).float().mean())


def endless(make: Callable[[int], Iterable[Batch]]) -> Iterator[Batch]:
    """Pass after pass, without end; ``make`` gets the pass number."""
    number = 0
    while True:
        yield from make(number)
        number += 1
