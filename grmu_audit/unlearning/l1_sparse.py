"""L1-sparse: fine-tune on the retain set while pulling small weights to zero."""

from __future__ import annotations

import torch
from pydantic import Field

from grmu_audit.data.source import Batch
from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import Phase, run_epochs
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Log, Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.passes import classify, retain_pass


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
    loss = classify(model)

    def plan(epoch: int) -> list[Phase]:
        """One pass with this epoch's penalty."""
        alpha = penalty(config.alpha, epoch, config.epochs, config.epochs_without)

        def penalised(batch: Batch) -> torch.Tensor:
            """Cross-entropy and L1 norm."""
            return loss(batch) + alpha * l1_norm(model) if alpha else loss(batch)

        return [retain_pass(data, config, runtime, epoch, penalised)]

    return run_epochs(model, plan, config, runtime, validate=data.validator(runtime))


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


methods.add(
    "l1_sparse",
    Method(
        name="l1_sparse",
        title="fine-tuning on the retain set with a decaying L1 penalty",
        run=l1_sparse,
        config=L1SparseConfig,
        exact=False,
        needs=frozenset({"retain"}),
        reference="Jia et al. 2023, Model Sparsity Can Simplify Machine Unlearning",
        cost="E R",
        search={"alpha": Log(1e-5, 1e-2)},
    ),
)
