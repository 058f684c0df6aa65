"""The two passes that most methods are made of: over the retain set and over the forget set."""

from __future__ import annotations

from torch.nn import functional

from grmu_audit.models.classifier import Classifier
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.loop import Loss, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import UnlearningData


def retain_pass(data: UnlearningData, config: TrainConfig, runtime: Runtime, epoch: int, loss: Loss) -> Phase:
    """One pass over D_r, by REWEIGHT where it is on, with its own generator per epoch.

    Args:
        data: where the retain rows come from.
        config: batch size and augmentation.
        runtime: root of the generator.
        epoch: from 0.
        loss: minimised on each batch; the model is in training mode.
    """
    generator = runtime.generator("retain", epoch)
    return Phase(
        "retain",
        lambda: data.retain_batches(config.batch_size, generator, augment=config.augment),
        loss,
        data.retain_steps(config.batch_size),
    )


def forget_pass(data: UnlearningData, config: TrainConfig, runtime: Runtime, epoch: int, loss: Loss) -> Phase:
    """One shuffled pass over D_f, with its own generator per epoch.

    Args:
        data: where the forget rows come from.
        config: batch size and augmentation.
        runtime: root of the generator.
        epoch: from 0.
        loss: minimised on each batch; it calls ``model.eval()`` first where running statistics must not move.
    """
    generator = runtime.generator("forget", epoch)
    return Phase(
        "forget",
        lambda: data.forget_batches(config.batch_size, generator, augment=config.augment),
        loss,
        data.forget_steps(config.batch_size),
    )


def classify(model: Classifier) -> Loss:
    """Mean cross-entropy of a batch, in whatever mode the model is."""
    return lambda batch: functional.cross_entropy(model(batch.pixels), batch.target)
