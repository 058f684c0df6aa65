"""The data of an unlearning run: retain set, forget set, validation rows, weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from grmu_audit.data.batches import Batch, BatchSource
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.inference import accuracy
from grmu_audit.training.loop import steps_of
from grmu_audit.training.runtime import Runtime

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class UnlearningData:
    """The data that a method may read: never the test split, never a retrained model."""

    source: BatchSource
    """Pixels, targets and groups."""
    retain: Rows
    """Training rows of the retain set (D_r)."""
    forget: Rows
    """Training rows of the forget set (D_f)."""
    val: Rows
    """Validation rows (D_v)."""
    retain_weights: npt.NDArray[np.float64] | None = None
    """[len(retain)] REWEIGHT sampling weights; None samples uniformly without replacement."""
    served: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Rows of the forget set that the model to start from was already made without, by earlier requests of its lineage."""

    def reweighted(self) -> UnlearningData:
        """The same data with REWEIGHT sampling of the retain set: w_g = N_train(g) / N_retain(g).

        Forgotten rows that were deleted from the data count in N_train.
        """
        gone, attributes = self.source.dataset.deleted_training, self.source.attributes
        deleted = [row.group.target * attributes + row.group.attribute for row in gone]
        forgotten = np.concatenate([self.groups_of(self.forget), np.array(deleted, dtype=np.int64)])
        return replace(self, retain_weights=reweight(self.groups_of(self.retain), forgotten))

    def groups_of(self, rows: Rows) -> npt.NDArray[np.int64]:
        """[len(rows)] group codes."""
        return self._groups[rows]

    def mask_of(self, rows: Rows) -> torch.Tensor:
        """[n] bool over all rows of the data, on its device: True for these."""
        mask = torch.zeros(len(self.source.target), dtype=torch.bool, device=self.source.device)
        mask[torch.from_numpy(rows).to(self.source.device)] = True
        return mask

    @cached_property
    def _groups(self) -> npt.NDArray[np.int64]:
        return self.source.group.cpu().numpy()

    def retain_batches(self, size: int, generator: torch.Generator, *, augment: bool) -> Iterator[Batch]:
        """One pass over the retain set, by its sampling weights where there are any."""
        return self.source.batches(self.retain, size, generator, weights=self.retain_weights, augment=augment)

    def forget_batches(self, size: int, generator: torch.Generator, *, augment: bool) -> Iterator[Batch]:
        """One shuffled pass over the forget set."""
        return self.source.batches(self.forget, size, generator, augment=augment)

    def retain_steps(self, size: int) -> int:
        """Batches of one retain pass."""
        return steps_of(self.retain, size)

    def forget_steps(self, size: int) -> int:
        """Batches of one forget pass."""
        return steps_of(self.forget, size)

    def validator(self, runtime: Runtime) -> Callable[[Classifier], float] | None:
        """Validation accuracy of a model, or None where there is no validation split."""
        return (lambda model: accuracy(model, self.source, self.val, runtime)) if len(self.val) else None


def reweight(retain_groups: npt.NDArray[np.int64], forget_groups: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """REWEIGHT: sampling weight of each retain sample, so that the expected group mix is the one before the request.

    w_i = N_train(g_i) / N_retain(g_i), at least 1; groups that lost nobody get 1 (De Min et al., group-robust unlearning).

    Args:
        retain_groups: [n_r] group codes of the retain set.
        forget_groups: [n_f] group codes of the forget set.

    Returns:
        [n_r] weights, not normalised.

    >>> reweight(np.array([0, 0, 1]), np.array([1])).tolist()
    [1.0, 1.0, 2.0]
    """
    size = int(max(retain_groups.max(initial=-1), forget_groups.max(initial=-1))) + 1
    retain = np.bincount(retain_groups, minlength=size).astype(np.float64)
    forget = np.bincount(forget_groups, minlength=size).astype(np.float64)
    weights = np.divide(retain + forget, retain, out=np.ones_like(retain), where=retain > 0)
    return weights[retain_groups]
