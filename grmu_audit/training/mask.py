"""Weights that a mask holds still: no gradient, no weight decay, no momentum moves them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

ParameterMask = Mapping[str, torch.Tensor]
"""Parameter name to a boolean tensor of its shape, True where it may move; a name left out moves freely."""


class MaskGuard:
    """Holds masked weights still through any optimiser.

    Args:
        model: its weights at this moment are what masked entries keep.
        optimizer: whose state is silenced where the mask is False.
        mask: which entries may move.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, mask: ParameterMask) -> None:
        named = dict(model.named_parameters())
        self.optimizer = optimizer
        self.held = [(named[name], moves.bool(), named[name].detach().clone()) for name, moves in mask.items()]

    @torch.no_grad()
    def before_step(self) -> None:
        """Zero the gradients that must not act."""
        for parameter, moves, _ in self.held:
            if parameter.grad is not None:
                parameter.grad.mul_(moves)

    @torch.no_grad()
    def after_step(self) -> None:
        """Put masked weights back bit for bit and zero what the optimiser gathered for them."""
        for parameter, moves, start in self.held:
            parameter.copy_(torch.where(moves, parameter, start))
            for slot in self.optimizer.state.get(parameter, {}).values():
                if isinstance(slot, torch.Tensor) and slot.shape == parameter.shape:
                    slot.mul_(moves)
