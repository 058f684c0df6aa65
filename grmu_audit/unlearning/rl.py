"""RL: teach random labels for the forget set, then the right ones for the retain set."""

from __future__ import annotations

from pydantic import Field

from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import Phase, run_epochs
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.passes import classify, retain_pass
from grmu_audit.unlearning.random_labels import confusing_pass


class RlConfig(MethodConfig):
    """Random labelling."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Pairs of a forget and a retain pass."""
    learning_rate: float = Field(0.02, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    as_published: bool = False
    """Forget batches alone and in training mode, as the authors' code: running statistics then see the forget set."""


def rl(model: Classifier, data: UnlearningData, config: RlConfig, runtime: Runtime) -> Classifier:
    """Each epoch: minimise CE(f(x), random label) over D_f, labels redrawn per batch; then CE over D_r.

    Labels are uniform over all classes, the true one included (Fan et al. 2024).  Where there is batch normalisation,
    each forget batch is normalised together with as many retain samples, and running statistics do not see it;
    ``as_published`` passes it alone, in training mode.

    Args:
        model: a copy that is changed.
        data: retain and forget rows.
        config: the recipe.
        runtime: device and seed; labels have a generator of their own.

    Raises:
        DivergedError: see ``run_epochs``.
    """
    keep = classify(model)

    def plan(epoch: int) -> list[Phase]:
        """Forget pass, then retain pass."""
        forget = confusing_pass(model, data, config, runtime, epoch, published=config.as_published)
        return [forget, retain_pass(data, config, runtime, epoch, keep)]

    return run_epochs(model, plan, config, runtime, validate=data.validator(runtime))


methods.add(
    "rl",
    Method(
        name="rl",
        title="random labels on the forget set, then the retain set",
        run=rl,
        config=RlConfig,
        exact=False,
        needs=frozenset({"retain", "forget"}),
        reference="Golatkar et al. 2020; Fan et al. 2024, SalUn",
        cost="E (R + F), with batch normalisation E (R + 2 F)",
    ),
)
