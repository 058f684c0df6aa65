"""Architectures by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.plugins import Registry

Builder = Callable[[ModelSpec], tuple[nn.Module, int]]
architectures: Registry[Builder] = Registry("architecture", "grmu_audit.architectures")
"""Builders by name; each returns the body and the width of its features."""


def build(spec: ModelSpec, seed: int) -> Classifier:
    """A freshly initialised network; the same weights for the same seed, whatever ran before.

    Raises:
        NotFoundError: no architecture of that name.
        InputError: an option is unknown or impossible.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body, width = architectures.get(spec.architecture)(spec)
        return Classifier(body, nn.Linear(width, spec.classes), spec)


@architectures.register("small_resnet")
def _small_resnet(spec: ModelSpec) -> tuple[nn.Module, int]:
    from grmu_audit.models.small import small_resnet_body

    unknown = sorted(set(spec.options) - {"widths"})
    if unknown:
        raise InputError(f"small_resnet: unknown option(s) {', '.join(unknown)}; known: widths")
    widths = tuple(int(w) for w in spec.options.get("widths", (24, 48, 96)))
    if not widths or min(widths) < 1:
        raise InputError(f"small_resnet: widths is {widths}, needs at least one positive number")
    return small_resnet_body(spec.image_size[0], widths), widths[-1]
