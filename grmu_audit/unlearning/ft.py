"""Fine-tuning on the retain set: nothing is forgotten on purpose, and it is hard to beat for its price."""

from __future__ import annotations

from pydantic import Field

from grmu_audit.models.classifier import Classifier
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.passes import fine_tuned


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
        DivergedError: see ``fine_tuned``.
    """
    return fine_tuned(model, data, config, runtime)


methods.add(
    "ft",
    Method(
        name="ft",
        title="fine-tuning on the retain set with the training recipe",
        run=fine_tune,
        config=FineTuneConfig,
        exact=False,
        needs=frozenset({"retain"}),
        reference="Warnecke et al. 2023; baseline of De Min et al., Group-robust Machine Unlearning",
        cost="E R",
    ),
)
