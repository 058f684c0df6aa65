"""What an epoch consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from grmu_audit.data.batches import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.checkpoint import Stateful

Loss = Callable[[Batch], torch.Tensor]
"""Scalar mean loss of a batch, with gradient."""


@dataclass(frozen=True)
class Phase:
    """One pass inside an epoch: where its batches come from and what is minimised on them."""

    name: str
    """For metrics, such as ``retain`` or ``forget``."""
    batches: Callable[[], Iterable[Batch]]
    """Makes the pass's batches."""
    loss: Loss
    """Scalar loss of a batch, with gradient: a mean over samples, since a batch may be split where memory is short."""
    steps: int
    """Number of batches, for the schedule."""
    before_step: Callable[[Batch], None] | None = None
    """Called between backward and step, for example to clip or mask gradients."""
    after_step: Callable[[Batch], None] | None = None
    """Called after the step, for example to put masked weights back."""
    width: int = 1
    """Samples that the loss passes through the network at once for each sample of the batch."""


Plan = Callable[[int], Sequence[Phase]]
"""Epoch number (from 0) to its phases, in order."""


ParameterMask = Mapping[str, torch.Tensor]
"""Parameter name to a boolean tensor of its shape, True where it may change; a name left out changes freely."""


@dataclass(frozen=True)
class Hooks:
    """What a method adds to the epoch loop."""

    validate: Callable[[Classifier], float] | None = None
    """Validation accuracy after an epoch; with ``config.keep_best`` the best epoch is returned."""
    stop: Callable[[int], bool] | None = None
    """Called before each epoch with its number; True ends the run."""
    mask: ParameterMask | None = None
    """Entries that may change; all others are unchanged, bit for bit."""
    state: Stateful | None = None
    """What the method carries between epochs; stored and restored with the checkpoint."""
    after_epoch: Callable[[int], None] | None = None
    """Called after each epoch's last step, before its checkpoint."""
    rate: Callable[[int, int], float] | None = None
    """Step and number of steps to the share of the peak learning rate, instead of the config's schedule."""


NO_HOOKS = Hooks()


class LossTerm(Protocol):
    """A penalty that composes around any method."""

    def loss(self, model: Classifier, batch: Batch) -> torch.Tensor | None:
        """Weighted penalty on the batch, or None where it says nothing about these samples."""
        ...

    def phases(self, model: Classifier, epoch: int) -> Sequence[Phase]:
        """Passes that the penalty adds to each epoch, for methods that read none of its samples."""
        ...


class MaskGuard:
    """Holds masked weights still through any optimiser.

    Args:
        model: its current weights are the fixed values of masked entries.
        optimizer: whose state is silenced where the mask is False.
        mask: which entries may move.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, mask: ParameterMask) -> None:
        named = dict(model.named_parameters())
        self.optimizer = optimizer
        self.held = [(named[name], moves.bool(), named[name].detach().clone()) for name, moves in mask.items()]
        self.factor = [moves.to(parameter.dtype) for parameter, moves, _ in self.held]

    @torch.no_grad()
    def before_step(self) -> None:
        """Zero the gradients that must not act."""
        found = [(p.grad, factor) for (p, _, _), factor in zip(self.held, self.factor, strict=True) if p.grad is not None]
        if found:
            torch._foreach_mul_([gradient for gradient, _ in found], [factor for _, factor in found])

    @torch.no_grad()
    def after_step(self) -> None:
        """Put masked weights back bit for bit and zero what the optimiser gathered for them."""
        slots: list[tuple[torch.Tensor, torch.Tensor]] = []
        for (parameter, moves, start), factor in zip(self.held, self.factor, strict=True):
            torch.where(moves, parameter, start, out=parameter)
            state = self.optimizer.state.get(parameter, {}).values()
            slots += [(one, factor) for one in state if isinstance(one, torch.Tensor) and one.shape == parameter.shape]
        if slots:
            torch._foreach_mul_([one for one, _ in slots], [factor for _, factor in slots])
