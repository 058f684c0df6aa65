"""Gradient ascent on the forget set: cheap, and the textbook example of harm to the retain set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.data.batches import Batch
from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.inference import infer
from grmu_audit.training.loop import repeat_batches, run_epochs
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.training.steps import microbatches
from grmu_audit.unlearning.blocks.passes import forget_logits, retain_pass
from grmu_audit.unlearning.data import Rows, UnlearningData
from grmu_audit.unlearning.method import ForgetPassConfig, Method, MethodConfig, register


class GradientAscentConfig(MethodConfig):
    """Ascent, and a rule that stops it where one is set."""

    epochs: int = Field(5, ge=1, le=100_000)
    """Passes over the forget set."""
    learning_rate: float = Field(5e-4, gt=0, allow_inf_nan=False)
    """Learning rate of the ascent; there is no retain pass that would repair a rate too high."""
    schedule: Literal["cosine", "constant"] = "constant"
    """No decay."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """No warm-up."""
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    """None: the ascent is the only force."""
    augment: bool = False
    """Ascend on the samples as they are."""
    stop_at_validation_loss: bool = False
    """Stop before an epoch once the forget loss has reached the mean validation loss."""


def gradient_ascent(model: Classifier, data: UnlearningData, config: GradientAscentConfig, runtime: Runtime) -> Classifier:
    """Minimise -CE on D_f.

    L = -mean CE(f(x), y) over the forget set; running statistics of batch normalisation are frozen, since a
    pass in training mode would fill them with forget samples.

    Raises:
        InputError: the stop rule is on and there are no validation rows to stop by.
    """
    if config.stop_at_validation_loss and not len(data.val):
        raise InputError("stop_at_validation_loss: the dataset has no validation split to stop by; leave the option out")

    def loss_of(rows: Rows) -> float:
        """Mean cross-entropy of rows in eval mode."""
        logits = infer(model, data.source, rows, runtime)
        return float(functional.cross_entropy(logits, data.source.target[torch.from_numpy(rows).to(data.source.device)]))

    def plan(epoch: int) -> list[Phase]:
        """One ascent pass."""
        generator = runtime.generator("ascent", epoch)
        return [
            Phase(
                "forget",
                lambda: data.forget_batches(config.batch_size, generator, augment=config.augment),
                lambda batch: -functional.cross_entropy(model.eval()(batch.pixels), batch.target),
                data.forget_steps(config.batch_size),
            )
        ]

    def stop(epoch: int) -> bool:
        """Whether the forget loss has reached the validation loss."""
        if not config.stop_at_validation_loss:
            return False
        reached = loss_of(data.forget) >= loss_of(data.val)
        if reached:
            runtime.notes["stopped_before_epoch"] = epoch + 1
        return reached

    return run_epochs(model, plan, config, runtime, Hooks(validate=data.validator(runtime), stop=stop))


register(
    Method(
        name="gradient_ascent",
        title="gradient ascent on the forget set",
        run=gradient_ascent,
        config=GradientAscentConfig,
        needs=frozenset({"forget"}),
        cost="E F",
        moves_statistics=frozenset(),
        reference="Golatkar et al. 2020; Thudi et al. 2022",
    )
)


class NegGradPlusConfig(ForgetPassConfig):
    """The balance of the two terms."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the retain set."""
    learning_rate: float = Field(0.02, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    balance: float = Field(0.99, gt=0, le=1)
    """a: weight of the retain term; the forget term has 1 - a.  Published: 0.95 for small data, 0.9999 for large."""
    as_published: bool = False
    """Forget batches in training mode, so that running statistics see them."""


def neggrad_plus(model: Classifier, data: UnlearningData, config: NegGradPlusConfig, runtime: Runtime) -> Classifier:
    """Minimise a CE(retain batch) - (1 - a) CE(forget batch); the forget set is cycled through along the retain pass."""

    def plan(epoch: int) -> list[Phase]:
        """One retain pass with forget batches beside it."""
        forget = repeat_batches(lambda turn: forget_parts(data, config, runtime, (epoch, turn)))
        logits = forget_logits(model, data, config, runtime, epoch)

        def both(batch: Batch) -> torch.Tensor:
            """Descent and ascent."""
            other = next(forget)
            runtime.sample_gradients += len(other.rows)
            model.train()
            retain_loss = functional.cross_entropy(model(batch.pixels), batch.target)
            forget_loss = functional.cross_entropy(logits(other.pixels), other.target)
            return config.balance * retain_loss - (1.0 - config.balance) * forget_loss

        return [retain_pass(data, config, runtime, epoch, both)]

    return run_epochs(model, plan, config, runtime, Hooks(validate=data.validator(runtime)))


def forget_parts(data: UnlearningData, config: NegGradPlusConfig, runtime: Runtime, names: tuple[int, int]) -> Iterator[Batch]:
    """One shuffled forget pass; where memory is short, in parts as small as those of the retain batches beside them."""
    for batch in data.forget_batches(config.batch_size, runtime.generator("forget", *names), augment=config.augment):
        yield from microbatches(batch, runtime.micro_batch)


register(
    Method(
        name="neggrad_plus",
        title="descent on the retain set and ascent on the forget set in every step",
        run=neggrad_plus,
        config=NegGradPlusConfig,
        needs=frozenset({"retain", "forget"}),
        reference="Kurmanji et al. 2023, Towards Unbounded Machine Unlearning",
        cost="E (R + b ceil(R / b)), b = batch size, at most F",
        search={"balance": (0.95, 0.99, 0.995, 0.999)},
    )
)
