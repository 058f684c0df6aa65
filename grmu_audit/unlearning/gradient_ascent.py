"""Gradient ascent on the forget set: cheap, and the textbook example of harm to those who stay."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import Phase, infer, run_epochs
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Method, MethodConfig, Rows, UnlearningData, methods


class GradientAscentConfig(MethodConfig):
    """Ascent, and a rule that stops it where it is asked for."""

    epochs: int = Field(5, ge=1, le=100_000)
    """Passes over the forget set."""
    learning_rate: float = Field(5e-4, gt=0, allow_inf_nan=False)
    """Learning rate of the ascent; there is no retain pass that would repair a rate too high."""
    schedule: Literal["cosine", "constant"] = "constant"
    """No decay."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """No warm-up."""
    weight_decay: float = Field(0.0, ge=0)
    """None: the ascent is the only force."""
    augment: bool = False
    """Ascend on the samples as they are."""
    stop_at_validation_loss: bool = False
    """Stop before an epoch once the forget loss has reached the mean validation loss."""


def gradient_ascent(model: Classifier, data: UnlearningData, config: GradientAscentConfig, runtime: Runtime) -> Classifier:
    """Minimise -CE on D_f.

    L = -mean CE(f(x), y) over the forget set; running statistics of batch normalisation stay as they are, since a
    pass in training mode would fill them with forget samples.

    Args:
        model: a copy that is changed.
        data: only forget rows are trained on; validation rows feed the stop rule.
        config: learning rate, epochs, stop rule.
        runtime: device and seed.

    Raises:
        InputError: the stop rule is on and there are no validation rows to stop by.
        DivergedError: the ascent ran to infinity.
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
            runtime.facts["stopped_before_epoch"] = epoch + 1
        return reached

    return run_epochs(model, plan, config, runtime, validate=data.validator(runtime), stop=stop)


methods.add(
    "gradient_ascent",
    Method(
        name="gradient_ascent",
        title="gradient ascent on the forget set",
        run=gradient_ascent,
        config=GradientAscentConfig,
        exact=False,
        needs=frozenset({"forget"}),
        cost="E F",
        moves_statistics=frozenset(),
        reference="Golatkar et al. 2020; Thudi et al. 2022",
    ),
)
