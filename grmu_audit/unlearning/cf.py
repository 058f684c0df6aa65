"""Catastrophic forgetting: keep training on the retain set at a small constant rate and let the rest fade."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from grmu_audit.models.classifier import Classifier
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.passes import fine_tuned


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
        DivergedError: see ``fine_tuned``.
    """
    return fine_tuned(model, data, config, runtime)


methods.add(
    "cf",
    Method(
        name="cf",
        title="fine-tuning on the retain set at a small constant rate (catastrophic forgetting)",
        run=catastrophic_forgetting,
        config=CfConfig,
        exact=False,
        needs=frozenset({"retain"}),
        reference="Goel et al. 2022 (arXiv 2201.06640); Tran and Woo 2025 (arXiv 2504.13610)",
        cost="E R",
    ),
)
