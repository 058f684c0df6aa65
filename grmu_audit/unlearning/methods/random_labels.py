"""SalUn: random labels, but only the weights that matter to the forget set may move."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.data.batches import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.blocks.gradients import Tensors, mean_gradient
from grmu_audit.unlearning.blocks.passes import (
    cross_entropy_loss,
    forget_logits,
    forget_pass,
    forget_width,
    retain_pass,
)
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.method import ForgetPassConfig, Method, register


def random_labels(count: int, classes: int, generator: torch.Generator) -> torch.Tensor:
    """[count] labels sampled uniformly from all classes, the true one included, so that P(true) = 1 / classes.

    >>> labels = random_labels(1000, 4, torch.Generator().manual_seed(0))
    >>> labels.shape, int(labels.min()), int(labels.max())
    (torch.Size([1000]), 0, 3)
    """
    return torch.randint(classes, (count,), generator=generator)


def confusing_pass(model: Classifier, data: UnlearningData, config: ForgetPassConfig, runtime: Runtime, epoch: int) -> Phase:
    """One pass over D_f that minimises CE(f(x), random label); labels are sampled per batch.

    Args:
        model: the student.
        data: the forget rows, and the retain rows that they are mixed with (see ``forget_logits``).
        config: batch size, augmentation, statistics of batch normalisation.
        runtime: root of the generators; labels have one of their own.
        epoch: from 0.
    """
    draws = runtime.generator("labels", epoch)
    answer = forget_logits(model, data, config, runtime, epoch)

    def confuse(batch: Batch) -> torch.Tensor:
        """Cross-entropy to random labels."""
        labels = random_labels(len(batch.rows), model.spec.classes, draws).to(batch.target.device)
        return functional.cross_entropy(answer(batch.pixels), labels)

    return replace(forget_pass(data, config, runtime, epoch, confuse), width=forget_width(model, config))


class SalUnConfig(ForgetPassConfig):
    """Random labelling under a saliency mask."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Pairs of a forget and a retain pass."""
    learning_rate: float = Field(0.02, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    density: float = Field(0.5, gt=0, le=1)
    """rho: share of all weights that may move."""
    forget_statistics: Literal["mixed", "own", "frozen"] = "mixed"
    """As everywhere; by its own statistics a batch of one class takes back most of a push that its samples share."""
    forget_weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    """alpha of the paper's loss."""
    as_published: bool = False
    """Mask gradients only and pass over the forget set alone and in training mode, as the authors' code: weight decay,
    momentum and running statistics then change what the mask holds."""


def salun(model: Classifier, data: UnlearningData, config: SalUnConfig, runtime: Runtime) -> Classifier:
    """Random labelling of the rho N weights with the largest |grad of CE over D_f| at the trained weights.

    Each epoch: alpha CE(f(x), random label) over D_f, then CE over D_r; weights outside the mask are put back after
    each step, so they are unchanged bit for bit.  Forget batches are mixed with retain samples as in ``rl``.
    """
    batches = data.source.batches(data.forget, config.batch_size)
    mask = top_mask(mean_gradient(model, batches, runtime), config.density)
    loss = cross_entropy_loss(model)

    def silence(batch: Batch) -> None:
        """Zero the gradients outside the mask, which is all that the authors' code does."""
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(mask[name])

    def plan(epoch: int) -> list[Phase]:
        """Forget pass, then retain pass."""
        forget = confusing_pass(model, data, config, runtime, epoch)
        weighted = replace(forget, loss=lambda batch: config.forget_weight * forget.loss(batch))
        phases = [weighted, retain_pass(data, config, runtime, epoch, loss)]
        return [replace(phase, before_step=silence) for phase in phases] if config.as_published else phases

    held = None if config.as_published else mask
    return run_epochs(model, plan, config, runtime, Hooks(validate=data.validator(runtime), mask=held))


def top_mask(values: Tensors, density: float) -> dict[str, torch.Tensor]:
    """True for exactly round(density N) of all N entries: those of largest magnitude, the earlier one on a tie.

    >>> values = {"a": torch.tensor([3.0, -1.0]), "b": torch.tensor([[2.0, 0.5]])}
    >>> {name: mask.tolist() for name, mask in top_mask(values, 0.5).items()}
    {'a': [True, False], 'b': [[True, False]]}
    """
    flat = torch.cat([value.abs().flatten() for value in values.values()])
    order = torch.sort(flat, descending=True, stable=True).indices
    mask = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    mask[order[: round(density * len(flat))]] = True
    parts = torch.split(mask, [value.numel() for value in values.values()])
    return {name: part.view_as(value) for (name, value), part in zip(values.items(), parts, strict=True)}


register(
    Method(
        name="salun",
        title="random labels on the forget set, restricted to the weights salient for it",
        run=salun,
        config=SalUnConfig,
        needs=frozenset({"retain", "forget"}),
        reference="Fan et al. 2024, SalUn (arXiv 2310.12508)",
        cost="F + E (R + F), with batch normalisation F + E (R + 2 F)",
    )
)


class RlConfig(ForgetPassConfig):
    """Random labelling."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Pairs of a forget and a retain pass."""
    learning_rate: float = Field(0.02, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    forget_statistics: Literal["mixed", "own", "frozen"] = "mixed"
    """As everywhere; by its own statistics a batch of one class takes back most of a push that its samples share."""
    as_published: bool = False
    """Forget batches alone and in training mode, as the authors' code: running statistics then see the forget set."""


def rl(model: Classifier, data: UnlearningData, config: RlConfig, runtime: Runtime) -> Classifier:
    """Each epoch: minimise CE(f(x), random label) over D_f, labels sampled per batch; then CE over D_r.

    Labels are uniform over all classes, the true one included (Fan et al. 2024).  Where there is batch normalisation,
    each forget batch is normalised together with as many retain samples, and running statistics do not see it;
    ``as_published`` passes it alone, in training mode.
    """
    loss = cross_entropy_loss(model)

    def plan(epoch: int) -> list[Phase]:
        """Forget pass, then retain pass."""
        forget = confusing_pass(model, data, config, runtime, epoch)
        return [forget, retain_pass(data, config, runtime, epoch, loss)]

    return run_epochs(model, plan, config, runtime, Hooks(validate=data.validator(runtime)))


register(
    Method(
        name="rl",
        title="random labels on the forget set, then the retain set",
        run=rl,
        config=RlConfig,
        needs=frozenset({"retain", "forget"}),
        reference="Golatkar et al. 2020; Fan et al. 2024, SalUn",
        cost="E (R + F), with batch normalisation E (R + 2 F)",
    )
)
