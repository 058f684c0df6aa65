"""One shape for every network: inputs in, features in the middle, logits out, normalisation inside."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from grmu_audit.errors import InputError

CONTAINERS = "containers"
"""Attribute of a body: paths of those of its modules that only hold other blocks, such as ``("encoder",)``."""

_BATCH_NUMBERS = 1 << 22
_SMALLEST_BATCH = 16


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
    """SHA-256 of the weights that training started from; empty: sampled from the seed."""

    @property
    def kind(self) -> Literal["image", "table", "text"]:
        """What the inputs are: three sides are an image; texts are not normalised."""
        if len(self.image_size) == 3:
            return "image"
        return "table" if self.mean else "text"

    def batch_size(self, most: int) -> int:
        """Samples of a batch whose inputs together hold about four million numbers: 27 pictures of 224 pixels; at least 16.

        >>> ModelSpec("resnet18", 2, (3, 224, 224), (), ()).batch_size(512), ModelSpec("mlp", 2, (9,), (), ()).batch_size(512)
        (27, 512)
        """
        return min(most, max(_SMALLEST_BATCH, _BATCH_NUMBERS // math.prod(self.image_size)))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; what is empty by default is left out, so that digests of older versions do not change."""
        tree = asdict(self)
        return tree if self.start else {key: value for key, value in tree.items() if key != "start"}


@dataclass(frozen=True)
class StartWeights:
    """The weights that training started from; exact methods go back to them."""

    tensors: Mapping[str, torch.Tensor]
    """By the network's own names; what is not among them is sampled from the seed."""
    digest: str
    """SHA-256 over names, types, shapes and bytes."""
    source: str
    """Where they came from, in words."""
    notes: tuple[str, ...] = ()
    """Changes made to fit them to the network."""

    def __deepcopy__(self, memo: dict[int, Any]) -> StartWeights:
        """Nobody writes to them: a copy of a network shares them."""
        return self


@dataclass
class ForwardCount:
    """Samples that went through networks."""

    samples: int = 0
    """Every pass counted."""


_counts: list[ForwardCount] = []


@contextmanager
def counted_forwards() -> Iterator[ForwardCount]:
    """Count the samples that any ``Classifier`` is asked for while the context lasts; a compiled training is not seen."""
    count = ForwardCount()
    _counts.append(count)
    try:
        yield count
    finally:
        _counts.remove(count)


def count_forward(pixels: torch.Tensor) -> None:
    """Count the samples of a forward pass, where somebody counts: for forms of a network that do not go through ``features``."""
    if _counts and not torch.compiler.is_compiling():
        for count in _counts:
            count.samples += len(pixels)


class Classifier(nn.Module):
    """Normalise, extract features, classify.

    Args:
        body: normalised inputs [b, ...] -> [b, d] penultimate features.  It lists its children in the order in which
            they run; an attribute ``containers`` names those that only hold other blocks.
        head: [b, d] -> [b, classes] logits.
        spec: the recipe, for storage.
        start: the weights that training started from, where they are at hand.
    """

    def __init__(self, body: nn.Module, head: nn.Linear, spec: ModelSpec, start: StartWeights | None = None) -> None:
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
        count_forward(pixels)
        result: torch.Tensor = self.body((pixels - self.mean) / self.std if self.spec.mean else pixels)
        return result

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[b, ...] inputs -> [b, classes] logits."""
        result: torch.Tensor = self.head(self.features(pixels))
        return result


FOREIGN_HEAD = "foreign_head"
"""Attribute of a body: the path that the head had in the network it was taken from, such as ``fc``."""
FOREIGN_ROOT = "foreign_root"
"""Attribute of a body: its one part that others also save alone, without this name before theirs, such as ``bert``."""


def detach_head(network: nn.Module, name: str) -> tuple[nn.Module, int]:
    """Replace the last layer of a network, in place, by the identity.

    Args:
        network: its last layer with parameters, in order of definition, is linear.
        name: what to call it in messages.

    Returns:
        The network, which now returns its penultimate features, and their width.

    Raises:
        InputError: the last layer is not linear.
    """
    owners = [(path, module) for path, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))]
    path, last = owners[-1] if owners else ("", network)
    if not path or not isinstance(last, nn.Linear):
        raise InputError(f"{name} ends in {type(last).__name__}, not in a linear layer: no other head can be put there")
    parent, _, leaf = path.rpartition(".")
    setattr(network.get_submodule(parent), leaf, nn.Identity())
    setattr(network, FOREIGN_HEAD, path)
    return network, last.in_features


def copy_model(model: Classifier) -> Classifier:
    """A deep copy: no parameter or buffer is shared."""
    return copy.deepcopy(model)


def frozen_copy(model: Classifier) -> Classifier:
    """A deep copy in eval mode whose parameters take no gradient: a teacher that cannot move."""
    teacher = copy_model(model).eval()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    return teacher
