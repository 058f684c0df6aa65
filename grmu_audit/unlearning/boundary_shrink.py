"""Boundary shrink: give each forget sample to the class that lies nearest to it."""

from __future__ import annotations

import torch
from pydantic import Field
from torch.nn import functional

from grmu_audit.data.source import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.adversarial import fgsm
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, frozen, methods
from grmu_audit.unlearning.passes import forget_pass


class BoundaryShrinkConfig(MethodConfig):
    """The step that finds the nearest class, and the fit to it."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the forget set."""
    learning_rate: float = Field(3e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate; there is no retain pass that would repair a rate too high."""
    radius: float = Field(0.1, gt=0, le=1)
    """L-infinity radius of the step in pixel units, [0, 1] (tables: standard deviations)."""
    weight_decay: float = Field(0.0, ge=0)
    """None: the fit is the only force."""
    augment: bool = False
    """Fit the samples as they are."""
    as_published: bool = False
    """Where the step does not change the label, fit the true label, which strengthens the sample; and fit in training mode."""


def boundary_shrink(model: Classifier, data: UnlearningData, config: BoundaryShrinkConfig, runtime: Runtime) -> Classifier:
    """Minimise CE(f(x), c) over D_f, c = the class of the trained network at one FGSM step away from the true label.

    Where the step fails (c = y), the most probable other class at the stepped input is taken.  Made for whole classes;
    with no retain term, utility falls when the forget set is a part of its class.

    Args:
        model: a copy that is changed.
        data: only forget rows are trained on.
        config: radius and recipe.
        runtime: device and seed.

    Raises:
        DivergedError: see ``run_epochs``.
    """
    original = frozen(model)

    def shrink(batch: Batch) -> torch.Tensor:
        """Cross-entropy to the nearest class."""
        stepped = fgsm(original, batch.pixels, batch.target, config.radius)
        runtime.sample_gradients += len(batch.rows)
        with torch.no_grad():
            nearest = nearest_class(original(stepped), batch.target, fallback=not config.as_published)
        model.train(config.as_published)
        return functional.cross_entropy(model(batch.pixels), nearest)

    return run_epochs(
        model,
        lambda epoch: [forget_pass(data, config, runtime, epoch, shrink)],
        config,
        runtime,
        validate=data.validator(runtime),
    )


def nearest_class(logits: torch.Tensor, target: torch.Tensor, *, fallback: bool) -> torch.Tensor:
    """[b] most probable class of [b, c] logits; with ``fallback`` never the true one.

    >>> nearest_class(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]), fallback=True).tolist()
    [2]
    """
    if fallback:
        logits = logits.scatter(1, target[:, None], -torch.inf)
    return logits.argmax(1)


methods.add(
    "boundary_shrink",
    Method(
        name="boundary_shrink",
        title="forget samples are given to the nearest other class",
        run=boundary_shrink,
        config=BoundaryShrinkConfig,
        exact=False,
        needs=frozenset({"forget"}),
        reference="Chen et al. 2023, Boundary Unlearning",
        cost="2 E F",
        moves_statistics=frozenset(),
    ),
)
