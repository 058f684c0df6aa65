"""The one epoch loop: every training and every unlearning method runs through it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from grmu_audit.data.batches import Batch, joins
from grmu_audit.errors import DivergedError, InputError, IntegrityError
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.guaranteed import ShardEnsemble
from grmu_audit.training.checkpoint import Saved, load_optimizer, optimizer_tensors, prefixed
from grmu_audit.training.config import TrainConfig, learning_rate_factor
from grmu_audit.training.distributed import BATCHNORM
from grmu_audit.training.plan import NO_HOOKS, Hooks, MaskGuard, Phase, Plan
from grmu_audit.training.runtime import Runtime, derive_seed
from grmu_audit.training.steps import gradient, make_optimizer
from grmu_audit.utils.progress import SILENT


def run_epochs(model: Classifier, plan: Plan, config: TrainConfig, runtime: Runtime, hooks: Hooks = NO_HOOKS) -> Classifier:
    """Train ``model`` in place by the plan and return it (or its best epoch).

    The optimiser of the config; learning rate by ``learning_rate_factor`` over all planned steps; metrics of each epoch go to
    ``runtime.log``.  With ``runtime.checkpoints`` every epoch is stored, and an interrupted run continues after its last
    whole epoch to the same weights: generators are derived from the seed and the epoch, never carried over.

    Args:
        model: on the runtime's device; changed in place.
        plan: phases of each epoch.
        config: optimiser and schedule.
        runtime: device, seed, log, checkpoints, penalty.
        hooks: what the method adds: validation, mask, state between epochs.

    Raises:
        DivergedError: a loss, a weight or a running statistic is not finite, or a loss grew a thousandfold; the caller registers
            nothing.
        EnvironmentFailure: the memory does not hold two samples, or a checkpoint cannot be written.
        IntegrityError: the checkpoint to resume from is damaged or of another run.
        InputError: the network is an ensemble of shards, whose members are trained one by one.
    """
    if isinstance(model.body, ShardEnsemble):
        raise InputError(
            "sisa: the members of an ensemble share no row, which training it as a whole would end: use retrain_shards or retrain"
        )
    loop = _Loop(model, _with_term(plan, model, runtime), config, runtime, hooks)
    loop.restore()
    observer = runtime.observer if runtime.title else SILENT
    with observer.progress(runtime.title, config.epochs, done=loop.epoch) as advance:
        while loop.epoch < config.epochs:
            if hooks.stop is not None and hooks.stop(loop.epoch):
                break
            metrics = loop.train_epoch()
            if hooks.after_epoch is not None:
                hooks.after_epoch(loop.epoch)
            if hooks.validate is not None:
                metrics["val_accuracy"] = hooks.validate(model)
            loop.finish_epoch(metrics)
            advance(1, " ".join(f"{k} {v:.3f}" for k, v in metrics.items() if k != "learning_rate"))
    if loop.best is not None:
        model.load_state_dict(loop.best)
    model.eval()
    return model


def _with_term(plan: Plan, model: Classifier, runtime: Runtime) -> Plan:
    """The plan, followed by the passes that the runtime's penalty adds."""
    term = runtime.term
    if term is None:
        return plan
    return lambda epoch: [*plan(epoch), *term.phases(model, epoch)]


@dataclass
class _Loop:
    """The moving parts of one call of ``run_epochs``."""

    model: Classifier
    plan: Plan
    config: TrainConfig
    runtime: Runtime
    hooks: Hooks
    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Steps done."""
    best: dict[str, torch.Tensor] | None = None
    """Weights of the best validation epoch."""
    best_score: float = -math.inf
    """Its validation accuracy."""
    history: list[dict[str, float]] = field(default_factory=list)
    """Metrics of the epochs done."""

    def __post_init__(self) -> None:
        self.stage = self.runtime.stage
        self.runtime.stage += 1
        self.total = sum(phase.steps for epoch in range(self.config.epochs) for phase in self.plan(epoch))
        self.optimizer = make_optimizer(self.model, self.config)
        self.guard = MaskGuard(self.model, self.optimizer, self.hooks.mask) if self.hooks.mask is not None else None

    def train_epoch(self) -> dict[str, float]:
        """All phases of the next epoch; the global generator is seeded for it and given back as it was."""
        metrics: dict[str, float] = {}
        devices = [self.runtime.device] if self.runtime.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            own = [self.runtime.world.rank] if self.runtime.world.rank else []
            torch.manual_seed(derive_seed(self.runtime.seed, "global", self.stage, self.epoch, *own))
            for phase in self.plan(self.epoch):
                self.model.train()
                metrics[f"loss_{phase.name}"] = self._pass(phase)
        metrics["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        if self.runtime.world.size > 1:
            self.runtime.world.average_statistics(self.model)
        return metrics

    def _pass(self, phase: Phase) -> float:
        """All steps of one phase; returns its mean loss."""
        losses = [self._step(phase, batch) for batch in phase.batches()]
        return float(torch.stack(losses).float().mean()) if losses else math.nan

    def _step(self, phase: Phase, batch: Batch) -> torch.Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self._rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss = gradient(self.model, phase, batch, self.runtime)
        if self.guard is not None:
            self.guard.before_step()
        if phase.before_step is not None:
            phase.before_step(batch)
        self.optimizer.step()
        if self.guard is not None:
            self.guard.after_step()
        if phase.after_step is not None:
            phase.after_step(batch)
        self.runtime.sample_gradients += len(batch.rows)
        self.step += 1
        return loss

    def _rate(self) -> float:
        step = min(self.step, self.total - 1)
        if self.hooks.rate is not None:
            return self.hooks.rate(step, self.total)
        return learning_rate_factor(step, self.total, self.config.warmup, self.config.schedule)

    def finish_epoch(self, metrics: dict[str, float]) -> None:
        """Check, remember the best, log, store."""
        _check_finite(self.model, metrics, self.epoch)
        _check_growth(self.history, metrics, self.epoch)
        score = metrics.get("val_accuracy")
        if score is not None and self.config.keep_best and score > self.best_score:
            self.best_score, self.best = score, copy.deepcopy(self.model.state_dict())
        self.runtime.log(self.epoch, metrics)
        self.history.append(dict(metrics))
        self.epoch += 1
        if self.runtime.checkpoints is not None:
            self.runtime.checkpoints.save(self.stage, self._tensors(), self._progress())

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {
            **prefixed("model", self.model.state_dict()),
            **prefixed("optimizer", optimizer_tensors(self.optimizer)),
            **prefixed("best", self.best or {}),
            **prefixed("state", self.hooks.state.state_dict() if self.hooks.state is not None else {}),
            **prefixed("read", {} if self.runtime.rows_read is None else {"rows": self.runtime.rows_read}),
        }

    def _progress(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "step": self.step,
            "best_score": self.best_score if self.best is not None else None,
            "history": self.history,
            "sample_gradients": self.runtime.sample_gradients,
            "micro_batch": self.runtime.micro_batch,
            "facts": self.runtime.notes,
        }

    def restore(self) -> None:
        """Continue from the stage's checkpoint, where the run resumes and has one.

        Raises:
            IntegrityError: the file does not fit this run.
        """
        saved = self.runtime.checkpoints.load(self.stage) if self.runtime.checkpoints is not None else None
        if self.runtime.world.size > 1:
            saved = self._start_together(saved)
        if saved is None:
            return
        try:
            self._load(saved)
        except (KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise IntegrityError(f"the checkpoint does not fit this run ({error}); start without --resume") from None
        for epoch, metrics in enumerate(self.history):
            self.runtime.log(epoch, metrics)

    def _start_together(self, saved: Saved | None) -> Saved | None:
        """The start weights and the checkpoint of process 0, on every process."""
        world = self.runtime.world
        self.runtime.notes |= {"processes": world.size, "batch_normalisation": BATCHNORM}
        world.align(self.model)
        content = world.share(saved.to_bytes() if saved is not None else None)
        return Saved.from_bytes(content) if content is not None else None

    def _load(self, saved: Saved) -> None:
        self.model.load_state_dict(saved.part("model"))
        load_optimizer(self.optimizer, saved.part("optimizer"))
        if self.hooks.state is not None:
            self.hooks.state.load_state_dict(saved.part("state"))
        if self.runtime.rows_read is not None:
            self.runtime.rows_read |= saved.part("read")["rows"]
        progress = saved.progress
        self.epoch, self.step, self.history = int(progress["epoch"]), int(progress["step"]), list(progress["history"])
        if progress["best_score"] is not None:
            self.best, self.best_score = saved.part("best"), float(progress["best_score"])
        self.runtime.sample_gradients = int(progress["sample_gradients"])
        self.runtime.micro_batch = progress["micro_batch"]
        self.runtime.notes |= dict(progress["facts"])
        self.runtime.notes.setdefault("resumed_after_epoch", []).append(self.epoch)


def _check_finite(model: nn.Module, metrics: dict[str, float], epoch: int) -> None:
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if not bad and all_finite(model):
        return
    what = bad[0] if bad else "a weight or running statistic"
    raise DivergedError(
        f"{what} is not finite in epoch {epoch + 1}; nothing was registered. Lower the learning rate or the number of epochs."
    )


@torch.no_grad()
def all_finite(model: nn.Module) -> bool:
    """Whether every weight and running statistic is finite.

    A sum is finite only where all that is added up is, and takes an eighth of the time; where it is not, each entry is looked at.
    """
    values = list(model.state_dict().values())
    sums = torch.stack([value.sum(dtype=None if value.is_floating_point() else torch.float32).float() for value in values])
    return bool(torch.isfinite(sums).all()) or all(bool(torch.isfinite(value).all()) for value in values)


GROWTH = 1000.0
"""How many times its first epoch's size (at least 1) a loss may grow before the run is stopped as hopeless."""


def _check_growth(history: Sequence[Mapping[str, float]], metrics: Mapping[str, float], epoch: int) -> None:
    for name, value in metrics.items():
        first = next((past[name] for past in history if name in past), value)
        if name.startswith("loss_") and abs(value) > GROWTH * max(1.0, abs(first)):
            raise DivergedError(
                f"{name} grew from {first:,.3g} to {value:,.3g} by epoch {epoch + 1}; nothing was registered. Lower the learning "
                "rate or the number of epochs."
            )


def steps_of(rows: npt.NDArray[np.int64], size: int) -> int:
    """Batches of one shuffled pass, as ``BatchSource.batches`` yields them."""
    full, rest = divmod(len(rows), size)
    return full + int(rest > 0 and not (full and joins(rest, size)))


def repeat_batches(make: Callable[[int], Iterable[Batch]]) -> Iterator[Batch]:
    """Pass after pass, without end; ``make`` gets the pass number."""
    number = 0
    while True:
        yield from make(number)
        number += 1
