"""SalUn: random labels, but only the weights that matter to the forget set may move."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field

from grmu_audit.data.source import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import Phase, run_epochs
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.gradients import Tensors, mean_gradient
from grmu_audit.unlearning.passes import classify, retain_pass
from grmu_audit.unlearning.random_labels import confusing_pass


class SalUnConfig(MethodConfig):
    """Random labelling under a saliency mask."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Pairs of a forget and a retain pass."""
    learning_rate: float = Field(0.02, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    density: float = Field(0.5, gt=0, le=1)
    """rho: share of all weights that may move."""
    forget_weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    """alpha of the paper's loss."""
    as_published: bool = False
    """Mask gradients only and pass over the forget set alone and in training mode, as the authors' code: weight decay,
    momentum and running statistics then move what the mask holds."""


def salun(model: Classifier, data: UnlearningData, config: SalUnConfig, runtime: Runtime) -> Classifier:
    """Random labelling of the rho N weights with the largest |grad of CE over D_f| at the trained weights.

    Each epoch: alpha CE(f(x), random label) over D_f, then CE over D_r; weights outside the mask are put back after
    each step, so they keep their bits.  Forget batches have company as in ``rl``.

    Args:
        model: a copy that is changed.
        data: retain and forget rows.
        config: rho, alpha and the recipe.
        runtime: device and seed.

    Raises:
        DivergedError: see ``run_epochs``.
    """
    batches = data.source.batches(data.forget, config.batch_size)
    mask = top_mask(mean_gradient(model, batches, runtime), config.density)
    keep = classify(model)

    def silence(batch: Batch) -> None:
        """Zero the gradients outside the mask, which is all that the authors' code does."""
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(mask[name])

    def plan(epoch: int) -> list[Phase]:
        """Forget pass, then retain pass."""
        forget = confusing_pass(model, data, config, runtime, epoch, weight=config.forget_weight, published=config.as_published)
        phases = [forget, retain_pass(data, config, runtime, epoch, keep)]
        return [replace(phase, before_step=silence) for phase in phases] if config.as_published else phases

    held = None if config.as_published else mask
    return run_epochs(model, plan, config, runtime, validate=data.validator(runtime), mask=held)


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


methods.add(
    "salun",
    Method(
        name="salun",
        title="random labels on the forget set, restricted to the weights salient for it",
        run=salun,
        config=SalUnConfig,
        exact=False,
        needs=frozenset({"retain", "forget"}),
        reference="Fan et al. 2024, SalUn (arXiv 2310.12508)",
        cost="F + E (R + F), with batch normalisation F + E (R + 2 F)",
    ),
)
