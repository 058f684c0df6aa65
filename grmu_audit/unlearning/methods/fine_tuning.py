"""Methods that fine-tune on the retain set: ft, cf, cf_k, ct (transposed kernels) and l1_sparse (a decaying L1 penalty)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from grmu_audit.data.batches import Batch
from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.plan import Hooks, Phase
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.blocks.passes import cross_entropy_loss, fine_tune_on_retain, retain_pass
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.layers import train_only
from grmu_audit.unlearning.method import LogRange, Method, MethodConfig, register


class L1SparseConfig(MethodConfig):
    """Fine-tuning with a decaying L1 penalty."""

    epochs: int = Field(10, ge=1, le=100_000)
    """E: passes over the retain set."""
    learning_rate: float = Field(0.05, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    alpha: float = Field(5e-4, ge=0, allow_inf_nan=False)
    """Weight of the L1 norm in the first epoch; published code defaults to 0.2, which outweighs the cross-entropy."""
    epochs_without: int = Field(0, ge=0)
    """E0: last epochs without the penalty."""


def l1_sparse(model: Classifier, data: UnlearningData, config: L1SparseConfig, runtime: Runtime) -> Classifier:
    """Minimise CE + alpha_e ||theta||_1 on D_r, over all parameters, biases and normalisation included.

    Args:
        model: a copy that is changed.
        data: only retain rows are trained on.
        config: alpha and its schedule, see ``penalty``.
        runtime: device and seed.

    Raises:
        InputError: no epoch is left for the penalty.
        DivergedError: see ``run_epochs``.
    """
    if config.alpha and config.epochs_without >= config.epochs:
        raise InputError(
            f"epochs_without: {config.epochs_without} leaves none of {config.epochs} epoch(s) for the penalty: "
            "lower it, or fine-tune with method 'ft'"
        )
    loss = cross_entropy_loss(model)

    def plan(epoch: int) -> list[Phase]:
        """One pass with this epoch's penalty."""
        alpha = penalty(config.alpha, epoch, config.epochs, config.epochs_without)

        def penalised(batch: Batch) -> torch.Tensor:
            """Cross-entropy and L1 norm."""
            return loss(batch) + alpha * l1_norm(model) if alpha else loss(batch)

        return [retain_pass(data, config, runtime, epoch, penalised)]

    return run_epochs(model, plan, config, runtime, Hooks(validate=data.validator(runtime)))


def penalty(alpha: float, epoch: int, epochs: int, without: int) -> float:
    """alpha_e = alpha (1 - e / (E - E0)) for e < E - E0, then 0; e from 0.

    >>> [penalty(1.0, e, 5, 1) for e in range(5)]
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    active = epochs - without
    return alpha * (1.0 - epoch / active) if epoch < active else 0.0


def l1_norm(model: Classifier) -> torch.Tensor:
    """Sum of absolute values of all parameters."""
    return torch.stack([p.abs().sum() for p in model.parameters()]).sum()


register(
    Method(
        name="l1_sparse",
        title="fine-tuning on the retain set with a decaying L1 penalty",
        run=l1_sparse,
        config=L1SparseConfig,
        needs=frozenset({"retain"}),
        reference="Jia et al. 2023, Model Sparsity Can Simplify Machine Unlearning",
        cost="E R",
        search={"alpha": LogRange(1e-5, 1e-2)},
    )
)


class CfConfig(MethodConfig):
    """Ten epochs at a constant learning rate of 0.01, as the baseline is published."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the retain set."""
    learning_rate: float = Field(0.01, gt=0, allow_inf_nan=False)
    """Constant learning rate."""
    schedule: Literal["cosine", "constant"] = "constant"
    """No decay."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """No warm-up."""


def catastrophic_forgetting(model: Classifier, data: UnlearningData, config: CfConfig, runtime: Runtime) -> Classifier:
    """Minimise CE on D_r from the trained weights.

    The same objective as ``ft``; only the schedule differs, as it does between the papers that use the two names.

    Args:
        model: a copy that is changed.
        data: only retain rows are trained on.
        config: learning rate and epochs.
        runtime: device and seed.

    Raises:
        DivergedError: see ``fine_tune_on_retain``.
    """
    return fine_tune_on_retain(model, data, config, runtime)


register(
    Method(
        name="cf",
        title="fine-tuning on the retain set at a small constant rate (catastrophic forgetting)",
        run=catastrophic_forgetting,
        config=CfConfig,
        needs=frozenset({"retain"}),
        reference="Goel et al. 2022 (arXiv 2201.06640); Tran and Woo 2025 (arXiv 2504.13610)",
        cost="E R",
    )
)


class CfKConfig(MethodConfig):
    """Number of trained stages, and their training options."""

    last: int = Field(2, ge=1)
    """k: how many of the last stages move, the head among them."""
    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the retain set."""
    learning_rate: float = Field(0.01, gt=0, allow_inf_nan=False)
    """Constant learning rate."""
    schedule: Literal["cosine", "constant"] = "constant"
    """No decay."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """No warm-up."""


def cf_k(model: Classifier, data: UnlearningData, config: CfKConfig, runtime: Runtime) -> Classifier:
    """Minimise CE on D_r over the last k stages; all other stages are frozen, their running statistics too.

    Published code leaves the whole network in training mode, so that the statistics of frozen stages are updated, and
    freezes the classifier in one of its networks; here the head is always among the k.

    Args:
        model: a copy that is changed.
        data: only retain rows are trained on.
        config: k and the recipe.
        runtime: device and seed.

    Raises:
        InputError: the network has fewer than k stages.
        DivergedError: see ``fine_tune_on_retain``.
    """
    with train_only(model, str(config.last)):
        return fine_tune_on_retain(model, data, config, runtime)


register(
    Method(
        name="cf_k",
        title="fine-tuning of the last k stages on the retain set",
        run=cf_k,
        config=CfKConfig,
        needs=frozenset({"retain"}),
        reference="Goel et al. 2022 (arXiv 2201.06640)",
        cost="E R, backward through k stages only",
    )
)


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
        DivergedError: see ``fine_tune_on_retain``.
    """
    runtime.notes["transposed_kernels"] = transpose_kernels(model)
    return fine_tune_on_retain(model, data, config, runtime)


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


register(
    Method(
        name="ct",
        title="convolution kernels transposed, then fine-tuning on the retain set",
        run=ct,
        config=CtConfig,
        needs=frozenset({"retain"}),
        reference="NeurIPS 2023 unlearning challenge, 5th place; Cadet et al. 2024, Deep Unlearn (arXiv 2410.01276)",
        cost="E R",
    )
)


class FineTuneConfig(MethodConfig):
    """The training recipe, continued on the retain set."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the retain set."""
    learning_rate: float = Field(0.05, gt=0, allow_inf_nan=False)
    """Peak learning rate: that of training, so that weights really move."""


def fine_tune(model: Classifier, data: UnlearningData, config: FineTuneConfig, runtime: Runtime) -> Classifier:
    """Minimise CE on D_r from the trained weights, with the warm-up and decay of training.

    Args:
        model: a copy that is changed.
        data: only retain rows are trained on.
        config: the recipe.
        runtime: device and seed.

    Raises:
        DivergedError: see ``fine_tune_on_retain``.
    """
    return fine_tune_on_retain(model, data, config, runtime)


register(
    Method(
        name="ft",
        title="fine-tuning on the retain set with the training recipe",
        run=fine_tune,
        config=FineTuneConfig,
        needs=frozenset({"retain"}),
        reference="Warnecke et al. 2023; baseline of De Min et al., Group-robust Machine Unlearning",
        cost="E R",
    )
)
