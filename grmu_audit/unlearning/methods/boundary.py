"""Boundary expansion: send the forget set to a class of its own, then cut that class off."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional
from torch.nn.utils import skip_init

from grmu_audit.data.batches import Batch
from grmu_audit.models.adversarial import fgsm
from grmu_audit.models.classifier import Classifier, frozen_copy
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.blocks.passes import train_on_forget
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.method import Method, MethodConfig, register


class BoundaryExpansionConfig(MethodConfig):
    """The fit to the extra class."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the forget set."""
    learning_rate: float = Field(5e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate; there is no retain pass that would repair a rate too high."""
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    """None: the fit is the only force."""
    augment: bool = False
    """Fit the samples as they are."""


def boundary_expansion(model: Classifier, data: UnlearningData, config: BoundaryExpansionConfig, runtime: Runtime) -> Classifier:
    """Append logit C to the head, minimise CE(f(x), C) over D_f, then prune the logit.

    Published code leaves the extra logit in place, so that its model has C + 1 outputs; that form is not offered, since
    such a model cannot replace the original.
    """
    classes = model.spec.classes
    model.head = expanded(model.head, runtime.generator("extra logit"))

    def expand(batch: Batch) -> torch.Tensor:
        """Cross-entropy to the extra class; running statistics are frozen."""
        return functional.cross_entropy(model.eval()(batch.pixels), torch.full_like(batch.target, classes))

    train_on_forget(model, data, config, runtime, expand)
    model.head = pruned(model.head, classes)
    return model.eval()


def expanded(head: nn.Linear, generator: torch.Generator) -> nn.Linear:
    """The head with one more output, initialised uniformly within 1 / sqrt(inputs)."""
    wide = linear(head, head.out_features + 1)
    bound = 1.0 / math.sqrt(head.in_features)
    row = (torch.rand(1, head.in_features + 1, generator=generator) * 2.0 - 1.0).to(head.weight.device) * bound
    with torch.no_grad():
        wide.weight.copy_(torch.cat([head.weight, row[:, :-1]]))
        wide.bias.copy_(torch.cat([head.bias, row[0, -1:]]))
    return wide


def pruned(head: nn.Linear, classes: int) -> nn.Linear:
    """The head with its first ``classes`` outputs only."""
    narrow = linear(head, classes)
    with torch.no_grad():
        narrow.weight.copy_(head.weight[:classes])
        narrow.bias.copy_(head.bias[:classes])
    return narrow


def linear(head: nn.Linear, outputs: int) -> nn.Linear:
    """A layer beside the head with other outputs, on its device, not initialised: no global random number is used."""
    layer: nn.Linear = skip_init(nn.Linear, head.in_features, outputs, device=head.weight.device)  # type: ignore[no-untyped-call]
    return layer


register(
    Method(
        name="boundary_expansion",
        title="forget samples are sent to an extra class, which is then pruned",
        run=boundary_expansion,
        config=BoundaryExpansionConfig,
        needs=frozenset({"forget"}),
        reference="Chen et al. 2023, Boundary Unlearning",
        cost="E F",
        moves_statistics=frozenset(),
    )
)


class BoundaryShrinkConfig(BoundaryExpansionConfig):
    """The step that finds the nearest class, and the fit to it."""

    learning_rate: float = Field(3e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate; there is no retain pass that would repair a rate too high."""
    radius: float = Field(0.1, gt=0, le=1)
    """L-infinity radius of the step in pixel units, [0, 1] (tables: standard deviations)."""
    as_published: bool = False
    """Where the step does not change the label, fit the true label, which strengthens the sample; and fit in training mode."""


def boundary_shrink(model: Classifier, data: UnlearningData, config: BoundaryShrinkConfig, runtime: Runtime) -> Classifier:
    """Minimise CE(f(x), c) over D_f, c = the class of the trained network at one FGSM step away from the true label.

    Where the step fails (c = y), the most probable other class at the stepped input is taken.  Made for whole classes;
    with no retain term, utility falls when the forget set is a part of its class.
    """
    original = frozen_copy(model)

    def shrink(batch: Batch) -> torch.Tensor:
        """Cross-entropy to the nearest class."""
        stepped = fgsm(original, batch.pixels, batch.target, config.radius)
        runtime.sample_gradients += len(batch.rows)
        with torch.no_grad():
            nearest = nearest_class(original(stepped), batch.target, fallback=not config.as_published)
        model.train(config.as_published)
        return functional.cross_entropy(model(batch.pixels), nearest)

    return train_on_forget(model, data, config, runtime, shrink)


def nearest_class(logits: torch.Tensor, target: torch.Tensor, *, fallback: bool) -> torch.Tensor:
    """[b] most probable class of [b, c] logits; with ``fallback`` never the true one.

    >>> nearest_class(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]), fallback=True).tolist()
    [2]
    """
    if fallback:
        logits = logits.scatter(1, target[:, None], -torch.inf)
    return logits.argmax(1)


register(
    Method(
        name="boundary_shrink",
        title="forget samples are given to the nearest other class",
        run=boundary_shrink,
        config=BoundaryShrinkConfig,
        needs=frozenset({"forget"}),
        reference="Chen et al. 2023, Boundary Unlearning",
        cost="2 E F",
        moves_statistics=frozenset(),
    )
)
