"""Group-DRO: minimise the loss of the groups that are served worst."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from grmu_audit.data.batches import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.inference import accuracy
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.data import UnlearningData


class GroupDro:
    """Group weights q that grow with the groups' losses.

    q_g starts at 1 / G.  Per batch: l_g = mean loss of the batch's samples of g, 0 where it has none;
    q_g <- q_g exp(eta (l_g + C / sqrt(n_g))), normalised; the loss is sum_g q_g l_g (Sagawa et al. 2020).  The
    adjustment C / sqrt(n_g) steers the weights only; it never enters the loss that is returned.  Groups without a
    training sample have q = 0.

    Args:
        counts: [G] training samples of each group.
        step_size: eta.
        adjustment: C of the generalisation adjustment.
    """

    def __init__(self, counts: torch.Tensor, step_size: float, adjustment: float = 0.0) -> None:
        self.step_size = step_size
        there = counts > 0
        self.extra = torch.where(there, adjustment / counts.double().clamp_min(1.0).sqrt(), 0.0).float()
        self.q = there.float() / there.sum().clamp_min(1)

    def loss(self, losses: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
        """Update q by a batch and return sum_g q_g l_g.

        Args:
            losses: [b] loss of each sample, with gradient.
            group: [b] group codes.
        """
        size = len(self.q)
        count = torch.bincount(group, minlength=size)
        mean = losses.new_zeros(size).index_add(0, group, losses) / count.clamp_min(1)
        with torch.no_grad():
            self.q = self.q * torch.exp(self.step_size * (mean.float() + self.extra))
            self.q = self.q / self.q.sum()
        return (self.q * mean).sum()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The group weights, for a checkpoint."""
        return {"q": self.q}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a checkpoint."""
        self.q = state["q"].to(self.q.device)

    def __call__(self, model: Classifier, batch: Batch) -> torch.Tensor:
        """The loss of a model on a batch."""
        losses = functional.cross_entropy(model(batch.pixels).float(), batch.target, reduction="none")
        return self.loss(losses, batch.group)


def balanced(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Sampling weights N / N_g, so that every group is sampled equally often.

    >>> balanced(np.array([0, 0, 0, 2])).tolist()
    [1.3333333333333333, 1.3333333333333333, 1.3333333333333333, 4.0]
    """
    counts = np.bincount(groups)
    weights: npt.NDArray[np.float64] = (len(groups) / counts[groups]).astype(np.float64)
    return weights


def worst_group_accuracy(model: Classifier, data: UnlearningData, runtime: Runtime) -> float:
    """Smallest accuracy over the groups of the validation rows, in [0, 1]; NaN without validation rows, or where one is NaN."""
    groups = data.groups_of(data.val)
    each = [accuracy(model, data.source, data.val[groups == code], runtime) for code in np.unique(groups)]
    return float(np.min(each)) if each else float("nan")
