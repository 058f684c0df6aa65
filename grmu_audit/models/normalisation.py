"""Fairness-gap of a normalisation layer: the one definition that penalties and audits share.

Source: Tran and Woo (2025, arXiv 2504.13610); statistic and point are switches, since the paper does not fix them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.utils.plugins import did_you_mean

_CHANNELS_FIRST = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)
_NORMS = (*_CHANNELS_FIRST, nn.LayerNorm)
MIN_SAMPLES = 2
"""Samples that a class needs in a batch to have a variance."""


@dataclass(frozen=True)
class GapDefinition:
    """Which of the readings of the definition is used."""

    stat: Literal["var", "std"] = "var"
    """Variance or standard deviation per channel."""
    point: Literal["input", "output"] = "output"
    """Activations before or after the layer."""
    by: Literal["class", "group"] = "class"
    """Whether spread is over classes or over (target, attribute) groups."""


def normalisation_layers(model: nn.Module) -> list[str]:
    """Names of all batch, layer, group and instance normalisations, input to output."""
    return [name for name, module in model.named_modules() if isinstance(module, _NORMS)]


def normalises_by_batch(model: nn.Module) -> bool:
    """Whether outputs depend, in training mode, on the other samples of the batch; in eval mode the statistics are constant."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


def channel_dimension(layer: nn.Module) -> int:
    """Dimension of a normalisation layer's channels; torchvision's ``LayerNorm2d`` is one that has them first."""
    return 1 if isinstance(layer, _CHANNELS_FIRST) or type(layer).__name__ == "LayerNorm2d" else -1


def choose_layers(model: nn.Module, chosen: Sequence[str]) -> list[str]:
    """The chosen normalisation layers; none chosen means all.

    Raises:
        InputError: one is not a normalisation layer of this network, or the network has none.
    """
    known = normalisation_layers(model)
    if not known:
        raise InputError("fairness_gap_weight: this network has no normalisation layer to measure a fairness-gap at")
    wrong = next((name for name in chosen if name not in known), None)
    if wrong is not None:
        raise InputError(
            f"fairness_gap_layers: no normalisation layer {wrong!r}{did_you_mean(wrong, known)}; known: {', '.join(known)}"
        )
    return list(chosen) or known


def channel_spread(activations: torch.Tensor, labels: torch.Tensor, channel: int, stat: str = "var") -> torch.Tensor:
    """max_c s_c - min_c s_c, where s_c is the mean over channels of the variance within class c.

    Args:
        activations: [n, ...] of any shape; the variance runs over samples and all positions of the class.
        labels: [n] class or group codes; codes with fewer than 2 samples do not count.
        channel: dimension that holds the channels or features.
        stat: ``var`` (population variance) or ``std``.

    Returns:
        Scalar in float32; NaN where fewer than two codes have two samples.

    >>> z = torch.tensor([[0.0], [2.0], [0.0], [6.0]])
    >>> channel_spread(z, torch.tensor([0, 0, 1, 1]), 1).item()
    8.0
    """
    rows = activations.movedim(channel, -1).float()
    found = []
    for code in torch.unique(labels):
        mine = rows[labels == code]
        if len(mine) >= MIN_SAMPLES:
            variance = mine.reshape(-1, rows.shape[-1]).var(0, correction=0)
            found.append((variance if stat == "var" else (variance + 1e-12).sqrt()).mean())
    if len(found) < MIN_SAMPLES:
        return rows.new_tensor(float("nan"))
    values = torch.stack(found)
    return values.max() - values.min()


def gaps(
    model: Classifier, pixels: torch.Tensor, labels: torch.Tensor, layers: Sequence[str], definition: GapDefinition
) -> torch.Tensor:
    """Fairness-gap of a batch at each layer, in eval mode, with gradient; [len(layers)], NaN where undefined.

    Args:
        model: its modes come back as they were.
        pixels: [n, c, h, w].
        labels: [n] classes or groups.
        layers: names from ``normalisation_layers``.
        definition: statistic and point.
    """
    found: dict[str, torch.Tensor] = {}
    modules = dict(model.named_modules())

    def watch(name: str) -> Any:
        """A hook that records the layer's gap."""

        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            """Measure at once, so that no activation is stored by name."""
            z = inputs[0] if definition.point == "input" else output
            found[name] = channel_spread(z, labels, channel_dimension(module), definition.stat)

        return hook

    hooks = [modules[name].register_forward_hook(watch(name)) for name in layers]
    try:
        with evaluating(model):
            model.features(pixels)
    finally:
        for handle in hooks:
            handle.remove()
    return torch.stack([found[name] for name in layers])


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode, then each module's own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
