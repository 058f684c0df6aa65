"""Boundary expansion: send the forget set to a class of its own, then cut that class off."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional
from torch.nn.utils import skip_init

from grmu_audit.data.source import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.training.loop import run_epochs
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.base import Method, MethodConfig, UnlearningData, methods
from grmu_audit.unlearning.passes import forget_pass


class BoundaryExpansionConfig(MethodConfig):
    """The fit to the extra class."""

    epochs: int = Field(10, ge=1, le=100_000)
    """Passes over the forget set."""
    learning_rate: float = Field(5e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate; there is no retain pass that would repair a rate too high."""
    weight_decay: float = Field(0.0, ge=0)
    """None: the fit is the only force."""
    augment: bool = False
    """Fit the samples as they are."""


def boundary_expansion(model: Classifier, data: UnlearningData, config: BoundaryExpansionConfig, runtime: Runtime) -> Classifier:
    """Append logit C to the head, minimise CE(f(x), C) over D_f, then prune the logit.

    Published code leaves the extra logit in place, so that its model has C + 1 outputs; that form is not offered, since
    such a model cannot stand in for the original.

    Args:
        model: a copy that is changed.
        data: only forget rows are trained on.
        config: the recipe.
        runtime: device and seed; the extra row is drawn like a fresh linear layer's.

    Raises:
        DivergedError: see ``run_epochs``.
    """
    classes = model.spec.classes
    model.head = expanded(model.head, runtime.generator("extra logit"))

    def expand(batch: Batch) -> torch.Tensor:
        """Cross-entropy to the extra class; running statistics rest."""
        return functional.cross_entropy(model.eval()(batch.pixels), torch.full_like(batch.target, classes))

    run_epochs(
        model,
        lambda epoch: [forget_pass(data, config, runtime, epoch, expand)],
        config,
        runtime,
        validate=data.validator(runtime),
    )
    model.head = pruned(model.head, classes)
    return model.eval()


def expanded(head: nn.Linear, generator: torch.Generator) -> nn.Linear:
    """The head with one more output, drawn uniformly within 1 / sqrt(inputs)."""
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
    """A layer beside the head with other outputs, on its device, not initialised: no global random number is drawn."""
    layer: nn.Linear = skip_init(nn.Linear, head.in_features, outputs, device=head.weight.device)  # type: ignore[no-untyped-call]
    return layer


methods.add(
    "boundary_expansion",
    Method(
        name="boundary_expansion",
        title="forget samples are sent to an extra class, which is then pruned",
        run=boundary_expansion,
        config=BoundaryExpansionConfig,
        exact=False,
        needs=frozenset({"forget"}),
        reference="Chen et al. 2023, Boundary Unlearning",
        cost="E F",
        moves_statistics=frozenset(),
    ),
)
