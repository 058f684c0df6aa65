"""Random labels for forget samples, drawn from their own generator."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn import functional

from grmu_audit.data.source import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.loop import Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import UnlearningData
from grmu_audit.unlearning.passes import among_retain, at_rest, forget_pass, normalises_by_batch


def random_labels(count: int, classes: int, generator: torch.Generator) -> torch.Tensor:
    """[count] labels drawn uniformly from all classes, the true one included, so that P(true) = 1 / classes.

    >>> labels = random_labels(1000, 4, torch.Generator().manual_seed(0))
    >>> labels.shape, int(labels.min()), int(labels.max())
    (torch.Size([1000]), 0, 3)
    """
    return torch.randint(classes, (count,), generator=generator)


def confusing_pass(
    model: Classifier,
    data: UnlearningData,
    config: TrainConfig,
    runtime: Runtime,
    epoch: int,
    *,
    weight: float = 1.0,
    published: bool = False,
) -> Phase:
    """One pass over D_f that minimises weight x CE(f(x), random label); labels are redrawn per batch.

    Args:
        model: the student.
        data: the forget rows, and the retain rows that stand beside them (see ``among_retain``).
        config: batch size and augmentation.
        runtime: root of the generators; labels have one of their own.
        epoch: from 0.
        weight: of the loss, from 0.
        published: forget batches alone, in training mode, as the authors' code: running statistics see the forget set.
    """
    draws = runtime.generator("labels", epoch)
    answer = (
        (lambda pixels: at_rest(model, pixels, published=True))
        if published
        else among_retain(model, data, config, runtime, epoch)
    )

    def confuse(batch: Batch) -> torch.Tensor:
        """Cross-entropy to random labels."""
        labels = random_labels(len(batch.rows), model.spec.classes, draws).to(batch.target.device)
        return weight * functional.cross_entropy(answer(batch.pixels), labels)

    alone = published or not normalises_by_batch(model)
    return replace(forget_pass(data, config, runtime, epoch, confuse), width=1 if alone else 2)
