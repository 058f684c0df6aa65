"""Exact unlearning: train again from fresh weights, without the forget set."""

from __future__ import annotations

from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.fit import fit
from grmu_audit.training.runtime import Runtime, derive_seed, place
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, methods


class RetrainConfig(MethodConfig):
    """The training recipe, on the retain set."""

    keep_best: bool = True
    """As in pretraining: the best validation epoch."""


def retrain(model: Classifier, data: UnlearningData, config: RetrainConfig, runtime: Runtime) -> Classifier:
    """Fresh weights in every layer, full recipe on D_r.

    Args:
        model: only its architecture is read.
        data: retain and validation rows are read, the forget set never.
        config: the recipe.
        runtime: device and seed; the initialisation is drawn from ``runtime.seed``.

    Raises:
        DivergedError: see ``run_epochs``.
    """
    fresh = build(model.spec, derive_seed(runtime.seed, "init"))
    place(fresh, runtime.device)
    return fit(fresh, data.source, data.retain, data.val, config, runtime, weights=data.retain_weights)


methods.add(
    "retrain",
    Method(
        name="retrain",
        title="train again from fresh weights without the forget set",
        run=retrain,
        config=RetrainConfig,
        exact=True,
        needs=frozenset({"retain"}),
        reference="by definition; with REWEIGHT: De Min et al., Group-robust Machine Unlearning",
    ),
)
