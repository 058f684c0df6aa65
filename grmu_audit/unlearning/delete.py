"""DELETE: forget samples keep the original's opinion on all classes but their own."""

from __future__ import annotations

import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.data.source import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, frozen, methods
from grmu_audit.unlearning.losses import soft_kl
from grmu_audit.unlearning.passes import forget_pass


class DeleteConfig(MethodConfig):
    """The distillation."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the forget set."""
    learning_rate: float = Field(3e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate; there is no retain pass that would repair a rate too high."""
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    """None: the distillation is the only force."""
    augment: bool = False
    """Distil the samples as they are."""


def delete(model: Classifier, data: UnlearningData, config: DeleteConfig, runtime: Runtime) -> Classifier:
    """Minimise KL(q || p_theta) over D_f, q = softmax of the original's logits without the true class.

    Made for whole classes; with two classes q is the other class for certain.  Running statistics rest.

    Args:
        model: a copy that is changed.
        data: only forget rows are trained on.
        config: the recipe.
        runtime: device and seed.

    Raises:
        DivergedError: see ``run_epochs``.
    """
    original = frozen(model)

    def distil(batch: Batch) -> torch.Tensor:
        """Distance to the original without the true class."""
        with torch.no_grad():
            target = without_class(original(batch.pixels), batch.target)
        return soft_kl(target, model.eval()(batch.pixels))

    return run_epochs(
        model,
        lambda epoch: [forget_pass(data, config, runtime, epoch, distil)],
        config,
        runtime,
        validate=data.validator(runtime),
    )


def without_class(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """[b, c] probabilities of [b, c] logits after the true class is taken out; each row sums to 1.

    >>> without_class(torch.tensor([[5.0, 0.0, 0.0]]), torch.tensor([0])).tolist()
    [[0.0, 0.5, 0.5]]
    """
    return functional.softmax(logits.float().scatter(1, target[:, None], -torch.inf), 1)


methods.add(
    "delete",
    Method(
        name="delete",
        title="forget samples keep the original's opinion on all classes but their own",
        run=delete,
        config=DeleteConfig,
        exact=False,
        needs=frozenset({"forget"}),
        reference="Zhou et al. 2025, Decoupled Distillation to Erase (DELETE)",
        cost="E F",
        moves_statistics=frozenset(),
    ),
)
