"""A teacher that does not move: its answers are computed once where its inputs are always the same."""

from __future__ import annotations

import numpy as np
import torch

from grmu_audit.data.batches import Batch
from grmu_audit.data.dataset import Augmentation
from grmu_audit.models.classifier import Classifier, frozen_copy
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.forms import forward_of
from grmu_audit.training.inference import infer
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.data import Rows, UnlearningData


class Teacher:
    """Logits of a frozen copy of a network in eval mode, in the precision of the runtime's passes without gradients.

    Where no batch is augmented the logits of all rows are computed once, which costs as much as one epoch's; where batches are
    augmented the teacher sees the augmented inputs, as the student does, in each step.

    Args:
        model: copied as it is now.
        data: where the batches come from.
        rows: those that batches are made of.
        config: whether they are augmented.
        runtime: precision and form.
    """

    _features = False

    def __init__(self, model: Classifier, data: UnlearningData, rows: Rows, config: TrainConfig, runtime: Runtime) -> None:
        self.network = frozen_copy(model)
        self._forward = forward_of(self.network, runtime.without_gradients, runtime.device, features=self._features)
        self._table: torch.Tensor | None = None
        header = data.source.dataset.header
        if not config.augment or header.kind != "image" or header.augmentation == Augmentation():
            outputs = infer(self.network, data.source, np.unique(rows), runtime, features=self._features)
            self._table = outputs.new_zeros(len(data.source.target), outputs.shape[1])
            self._table[torch.from_numpy(np.unique(rows)).to(outputs.device)] = outputs

    @torch.no_grad()
    def __call__(self, batch: Batch) -> torch.Tensor:
        """[b, classes] logits (or [b, d] features) in float32, without gradient."""
        return self._forward(batch.pixels) if self._table is None else self._table[batch.rows]


class OriginalFeatures(Teacher):
    """The same for the features before the head."""

    _features = True
