"""The two passes that most methods consist of: over the retain set and over the forget set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from grmu_audit.models.classifier import Classifier
from grmu_audit.models.normalisation import normalises_by_batch
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.loop import repeat_batches, run_epochs
from grmu_audit.training.plan import Hooks, Loss, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.method import ForgetPassConfig


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
    """One shuffled pass over D_f, as ``retain_pass``; ``forward_frozen_batchnorm`` keeps running statistics from seeing D_f."""
    generator = runtime.generator("forget", epoch)
    return Phase(
        "forget",
        lambda: data.forget_batches(config.batch_size, generator, augment=config.augment),
        loss,
        data.forget_steps(config.batch_size),
    )


def cross_entropy_loss(model: Classifier) -> Loss:
    """Mean cross-entropy of a batch, in whatever mode the model is."""
    return lambda batch: functional.cross_entropy(model(batch.pixels), batch.target)


def fine_tune_on_retain(model: Classifier, data: UnlearningData, config: TrainConfig, runtime: Runtime) -> Classifier:
    """Minimise CE on D_r for the config's epochs, in place: what many methods end with.

    Raises:
        DivergedError: see ``run_epochs``.
    """
    loss = cross_entropy_loss(model)
    hooks = Hooks(validate=data.validator(runtime))
    return run_epochs(model, lambda epoch: [retain_pass(data, config, runtime, epoch, loss)], config, runtime, hooks)


def train_on_forget(model: Classifier, data: UnlearningData, config: TrainConfig, runtime: Runtime, loss: Loss) -> Classifier:
    """Minimise a loss over D_f for the config's epochs, in place."""
    hooks = Hooks(validate=data.validator(runtime))
    return run_epochs(model, lambda epoch: [forget_pass(data, config, runtime, epoch, loss)], config, runtime, hooks)


def forget_logits(
    model: Classifier, data: UnlearningData, config: ForgetPassConfig, runtime: Runtime, epoch: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """How the logits of forget batches are computed in one epoch: what batch normalisation takes, by the config.

    ``mixed``: see ``forward_mixed_with_retain``; ``own``: see ``forward_frozen_batchnorm``; ``frozen``: in evaluation mode.
    ``as_published``: in training mode, so that running statistics see the forget set.
    """
    if config.as_published:
        return lambda pixels: forward_frozen_batchnorm(model, pixels, published=True)
    if config.forget_statistics == "mixed":
        return forward_mixed_with_retain(model, data, config, runtime, epoch)
    if config.forget_statistics == "own":
        return lambda pixels: forward_frozen_batchnorm(model, pixels)
    return lambda pixels: model.eval()(pixels)


def forget_width(model: nn.Module, config: ForgetPassConfig) -> int:
    """Samples that pass through the network for each forget sample: 2 where a batch is mixed."""
    return 2 if config.forget_statistics == "mixed" and not config.as_published and normalises_by_batch(model) else 1


def forward_frozen_batchnorm(model: Classifier, pixels: torch.Tensor, *, published: bool = False) -> torch.Tensor:
    """[b, c] logits in training mode with frozen running statistics: for passes over the forget set.

    Batch normalisation takes the statistics of the batch, as in training, but updates no running statistic.  Evaluation
    mode would not either, but its gradients are not those of a normalised network: a step that raises the loss
    then moves the scale of whole layers, and retain passes do not repair it.  A batch of one sample has no statistics
    of its own and is passed in evaluation mode.

    Args:
        model: the student.
        pixels: [b, ...] inputs.
        published: update the running statistics too, as the authors' code of several methods does.
    """
    model.train(published or len(pixels) > 1)
    with nullcontext() if published or not model.training else frozen_batchnorm(model):
        logits: torch.Tensor = model(pixels)
    return logits


def forward_mixed_with_retain(
    model: Classifier, data: UnlearningData, config: TrainConfig, runtime: Runtime, epoch: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Logits of forget batches that batch normalisation sees mixed with as many retain samples.

    A forget batch of one class has statistics of its own: normalised by them, a push that all its samples share is
    taken back, and little is forgotten.  Only the statistics of the retain samples are used; no loss is taken on them.
    Networks without batch normalisation need none, and the batch goes alone.

    Args:
        model: the student.
        data: where the retain samples come from, by REWEIGHT where it is on.
        config: batch size and augmentation.
        runtime: root of the generators; the retain samples are counted in its sample-gradients.
        epoch: from 0.

    Returns:
        [b, ...] inputs -> [b, c] logits, see ``forward_frozen_batchnorm``.
    """
    if not normalises_by_batch(model):
        return lambda pixels: forward_frozen_batchnorm(model, pixels)
    retain = repeat_batches(
        lambda turn: data.retain_batches(config.batch_size, runtime.generator("company", epoch, turn), augment=config.augment)
    )

    def logits(pixels: torch.Tensor) -> torch.Tensor:
        """Those of the forget batch alone."""
        mixed = next(retain).pixels[: len(pixels)]
        runtime.sample_gradients += len(mixed)
        return forward_frozen_batchnorm(model, torch.cat([pixels, mixed]))[: len(pixels)]

    return logits


@contextmanager
def frozen_batchnorm(model: nn.Module) -> Iterator[None]:
    """No running statistic of batch normalisation is read or written while the context lasts."""
    tracking = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True


def distillation(teacher: torch.Tensor, student: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)): summed over classes, averaged over the batch.

    Args:
        teacher: [b, c] logits.
        student: [b, c] logits.
        temperature: T, above 0.

    Returns:
        Scalar in nats, at least 0 up to rounding; its gradient with respect to ``student`` is T (p_student - p_teacher) / b.

    >>> a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    >>> round(float(distillation(a, b)), 4), float(distillation(a, a))
    (0.4338, 0.0)
    """
    return temperature**2 * soft_kl(functional.softmax(teacher.float() / temperature, 1), student.float() / temperature)


def soft_kl(target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """KL(target || softmax(logits)): summed over classes, averaged over the batch.

    Args:
        target: [b, c] probabilities.
        logits: [b, c].

    Returns:
        Scalar in nats; classes with target 0 add nothing.
    """
    return functional.kl_div(functional.log_softmax(logits.float(), 1), target, reduction="batchmean")
