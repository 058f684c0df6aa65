"""One shape for every network: inputs in, features in the middle, logits out, normalisation inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import nn

CONTAINERS = "containers"
"""Attribute of a body: paths of those of its modules that only hold other blocks, such as ``("encoder",)``."""


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to build a network again; stored as ``model.json`` beside the weights."""

    architecture: str
    """Name in ``models.catalog``: registered, of torchvision, or ``package.module:function``."""
    classes: int
    """Outputs."""
    image_size: tuple[int, ...]
    """Shape of one input: channels, height, width of an image; columns of a table; tokens of a text."""
    mean: tuple[float, ...]
    """Normalisation mean per channel or column; empty: inputs are not normalised."""
    std: tuple[float, ...]
    """Normalisation standard deviation per channel or column."""
    class_names: tuple[str, ...] = ()
    """Names by index."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the architecture, such as widths."""
    start: str = ""
    """SHA-256 of the weights that training started from; empty: drawn from the seed."""

    @property
    def kind(self) -> Literal["image", "table", "text"]:
        """What the inputs are: three sides make an image; texts are not normalised."""
        if len(self.image_size) == 3:
            return "image"
        return "table" if self.mean else "text"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; what is empty by default is left out, so that digests of older versions stay what they were."""
        tree = asdict(self)
        return tree if self.start else {key: value for key, value in tree.items() if key != "start"}


@dataclass(frozen=True)
class Start:
    """The weights that training started from; exact methods go back to them."""

    tensors: Mapping[str, torch.Tensor]
    """By the network's own names; what is not among them is drawn from the seed."""
    digest: str
    """SHA-256 over names, types, shapes and bytes."""
    source: str
    """Where they came from, in words."""
    notes: tuple[str, ...] = ()
    """What was left out or changed to make them fit."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Start:
        """Nobody writes to them: a copy of a network shares them."""
        return self


class Classifier(nn.Module):
    """Normalise, extract features, classify.

    Args:
        body: normalised inputs [b, ...] -> [b, d] penultimate features.  It lists its children in the order in which
            they run; an attribute ``containers`` names those that only hold other blocks.
        head: [b, d] -> [b, classes] logits.
        spec: the recipe, for storage.
        start: the weights that training started from, where they are at hand.
    """

    def __init__(self, body: nn.Module, head: nn.Linear, spec: ModelSpec, start: Start | None = None) -> None:
        super().__init__()
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.body = body
        self.head = head
        self.spec = spec
        self.start = start
        shape = (1, -1, *(1 for _ in spec.image_size[1:]))
        self.register_buffer("mean", torch.tensor(spec.mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(shape), persistent=False)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """[b, ...] inputs (pixels in [0, 1], columns, or token numbers) -> [b, d] penultimate features."""
        result: torch.Tensor = self.body((pixels - self.mean) / self.std if self.spec.mean else pixels)
        return result

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[b, ...] inputs -> [b, classes] logits."""
        result: torch.Tensor = self.head(self.features(pixels))
        return result
