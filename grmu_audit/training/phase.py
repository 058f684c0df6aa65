"""What an epoch is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from grmu_audit.data.source import Batch
from grmu_audit.models.classifier import Classifier

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


class Term(Protocol):
    """A penalty that composes around any method."""

    def loss(self, model: Classifier, batch: Batch) -> torch.Tensor | None:
        """Weighted penalty on the batch, or None where it says nothing about these samples."""
        ...

    def phases(self, model: Classifier, epoch: int) -> Sequence[Phase]:
        """Passes that the penalty adds to each epoch, for methods that read none of its samples."""
        ...
