"""One shape for every network: pixels in, features in the middle, logits out, normalisation inside."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to build a network again; stored as ``model.json`` beside the weights."""

    architecture: str
    """Name in ``models.catalog.architectures``."""
    classes: int
    """Outputs."""
    image_size: tuple[int, int, int]
    """Channels, height, width."""
    mean: tuple[float, ...]
    """Normalisation mean per channel."""
    std: tuple[float, ...]
    """Normalisation standard deviation per channel."""
    class_names: tuple[str, ...] = ()
    """Names by index."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the architecture, such as widths."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


class Classifier(nn.Module):
    """Normalise, extract features, classify.

    Args:
        body: [b, c, h, w] normalised -> [b, d] penultimate features.
        head: [b, d] -> [b, classes] logits.
        spec: the recipe, for storage.
    """

    def __init__(self, body: nn.Module, head: nn.Linear, spec: ModelSpec) -> None:
        super().__init__()
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.body = body
        self.head = head
        self.spec = spec
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1), persistent=False)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """[b, c, h, w] pixels in [0, 1] -> [b, d] penultimate features."""
        result: torch.Tensor = self.body((pixels - self.mean) / self.std)
        return result

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[b, c, h, w] pixels in [0, 1] -> [b, classes] logits."""
        result: torch.Tensor = self.head(self.features(pixels))
        return result
