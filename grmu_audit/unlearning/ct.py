"""CT: transpose every convolution kernel, then fine-tune on the retain set."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from grmu_audit.models.classifier import Classifier
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.passes import fine_tuned


class CtConfig(MethodConfig):
    """The fine-tuning after the transposition."""

    epochs: int = Field(15, ge=1, le=100_000)
    """Passes over the retain set; three are published for far larger data."""
    learning_rate: float = Field(0.05, gt=0, allow_inf_nan=False)
    """Peak learning rate."""


def ct(model: Classifier, data: UnlearningData, config: CtConfig, runtime: Runtime) -> Classifier:
    """W[o, i, h, w] <- W[o, i, w, h] in every convolution with a square kernel, then minimise CE on D_r.

    Kernels of one pixel stay as they are; a network whose only convolution is the patch embedding is hardly changed.

    Args:
        model: a copy that is changed.
        data: only retain rows are trained on.
        config: the recipe.
        runtime: device and seed.

    Raises:
        DivergedError: see ``fine_tuned``.
    """
    runtime.facts["transposed_kernels"] = transpose_kernels(model)
    return fine_tuned(model, data, config, runtime)


def transpose_kernels(model: nn.Module) -> int:
    """Swap the spatial axes of all square kernels larger than one pixel that may move; returns how many layers."""
    changed = 0
    with torch.no_grad():
        for module in model.modules():
            if not isinstance(module, nn.Conv2d) or not module.weight.requires_grad:
                continue
            height, width = module.weight.shape[-2:]
            if height == width > 1:
                module.weight.copy_(module.weight.transpose(-1, -2).clone())
                changed += 1
    return changed


methods.add(
    "ct",
    Method(
        name="ct",
        title="convolution kernels transposed, then fine-tuning on the retain set",
        run=ct,
        config=CtConfig,
        exact=False,
        needs=frozenset({"retain"}),
        reference="NeurIPS 2023 unlearning challenge, 5th place; Cadet et al. 2024, Deep Unlearn (arXiv 2410.01276)",
        cost="E R",
    ),
)
