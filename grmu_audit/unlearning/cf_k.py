"""CF-k: catastrophic forgetting in the last k stages only."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from grmu_audit.models.classifier import Classifier
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.layers import restricted
from grmu_audit.unlearning.passes import fine_tuned


class CfKConfig(MethodConfig):
    """How many stages move, and the recipe for them."""

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
    """Minimise CE on D_r over the last k stages; all other stages rest, their running statistics too.

    Published code leaves the whole network in training mode, so that the statistics of resting stages move, and
    rests the classifier in one of its networks; here the head is always among the k.

    Args:
        model: a copy that is changed.
        data: only retain rows are trained on.
        config: k and the recipe.
        runtime: device and seed.

    Raises:
        InputError: the network has fewer than k stages.
        DivergedError: see ``fine_tuned``.
    """
    with restricted(model, str(config.last)):
        return fine_tuned(model, data, config, runtime)


methods.add(
    "cf_k",
    Method(
        name="cf_k",
        title="fine-tuning of the last k stages on the retain set",
        run=cf_k,
        config=CfKConfig,
        exact=False,
        needs=frozenset({"retain"}),
        reference="Goel et al. 2022 (arXiv 2201.06640)",
        cost="E R, backward through k stages only",
    ),
)
