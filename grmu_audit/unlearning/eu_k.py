"""EU-k: forget the last k stages exactly, by training them again from fresh weights."""

from __future__ import annotations

import torch
from pydantic import Field

from grmu_audit.models.catalog import fresh
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.runtime import Runtime, derive_seed
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.layers import restricted
from grmu_audit.unlearning.passes import fine_tuned
from grmu_audit.unlearning.stages import last_stages


class EuKConfig(MethodConfig):
    """How many stages move, and the recipe for them."""

    last: int = Field(2, ge=1)
    """k: how many of the last stages move, the head among them."""
    epochs: int = Field(15, ge=1, le=100_000)
    """Passes over the retain set."""
    learning_rate: float = Field(0.05, gt=0, allow_inf_nan=False)
    """Peak learning rate, that of training."""


def eu_k(model: Classifier, data: UnlearningData, config: EuKConfig, runtime: Runtime) -> Classifier:
    """Give the last k stages what pretraining started with (drawn anew, or start weights), then minimise CE on D_r over them.

    Every parameter and running statistic of the k stages is drawn again, in nested layers too; the head is among
    them.  The other stages rest, their running statistics too, and still know the forget set: the method is not exact.

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
        reset(model, config.last, derive_seed(runtime.seed, "init"))
        return fine_tuned(model, data, config, runtime)


def reset(model: Classifier, last: int, seed: int) -> None:
    """Give the last stages, in place, what the architecture starts with; modules that are frozen keep what they have."""
    initial = fresh(model, seed).state_dict()
    inside = {id(module) for stage in last_stages(model, last) for root in stage.modules for module in root.modules()}
    with torch.no_grad():
        for path, module in model.named_modules():
            own = dict(module.named_parameters(recurse=False))
            if id(module) in inside and all(p.requires_grad for p in own.values()):
                for name, value in (*own.items(), *module.named_buffers(recurse=False)):
                    key = f"{path}.{name}"
                    if key in initial:
                        value.copy_(initial[key])


methods.add(
    "eu_k",
    Method(
        name="eu_k",
        title="the last k stages trained again from fresh weights",
        run=eu_k,
        config=EuKConfig,
        exact=False,
        needs=frozenset({"retain"}),
        reference="Goel et al. 2022 (arXiv 2201.06640)",
        cost="E R, backward through k stages only",
    ),
)
