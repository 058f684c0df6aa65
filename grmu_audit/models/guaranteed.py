"""Networks from which rows can be removed with a guarantee: a linear model, and an ensemble whose members share no row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from grmu_audit.models.architecture import Options
from grmu_audit.models.classifier import Classifier, ModelSpec

MOST_SHARDS = 64
"""Members that an ensemble may have: the options may come from a file of somebody else."""


class LinearOptions(Options):
    """Options of ``linear``: they define the loss that training minimises (``training.guaranteed.convex``)."""

    l2: float = Field(1e-2, gt=0, allow_inf_nan=False)
    """Weight of half the squared norm of all weights, per training row: it makes the loss strongly convex."""
    noise: float = Field(5.0, ge=0, allow_inf_nan=False)
    """Standard deviation of the random linear term of the loss that hides what a removal leaves; 0 leaves it out."""
    fairness: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Weight of half the squared difference between the groups' mean logits inside each class, per training row."""
    unit_norm: bool = True
    """Whether every row is divided by its length."""


class LinearBody(nn.Module):
    """[b, ...] -> [b, d]: the inputs as one row each, of length 1 where the options say so.  It has no weights."""

    containers = ()

    def __init__(self, options: LinearOptions) -> None:
        super().__init__()
        self.options = options
        self.residual: torch.Tensor
        self.register_buffer("residual", torch.full((), -1.0, dtype=torch.float64))
        """Bound on the norm of the loss gradient at the stored weights; negative where none is known."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Flatten, scale."""
        rows = x.flatten(1)
        return functional.normalize(rows, dim=1) if self.options.unit_norm else rows


class ShardOptions(Options):
    """Options of ``sisa``: members and the rule by which rows are divided among them."""

    member: str = "small_resnet"
    """Architecture of each member."""
    member_options: dict[str, Any] = Field(default_factory=dict)
    """Its options."""
    shards: int = Field(4, ge=2, le=MOST_SHARDS)
    """Members, each trained on one shard of the rows."""
    rule: Literal["balanced", "concentrated"] = "balanced"
    """``balanced``: every shard holds about the same mix of groups, by chance; ``concentrated``: a smaller group lies in fewer
    shards."""
    places: tuple[tuple[Annotated[int, Field(ge=0, lt=MOST_SHARDS)], ...], ...] = ()
    """Shards of each group, by its code, where groups are concentrated; from the training data unless given."""
    seed: int = Field(0, ge=0)
    """Seed of the division."""


class ShardEnsemble(nn.Module):
    """Normalised inputs [b, ...] -> [b, shards * classes]: the logits of all members side by side; the head takes their mean."""

    containers = ("members",)

    def __init__(self, spec: ModelSpec, options: ShardOptions, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.options = options
        self.classes = spec.classes
        self.members = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each member's logits."""
        return torch.cat([member(x) for member in self.members], 1)

    def member(self, number: int, spec: ModelSpec) -> Classifier:
        """One member as a network of its own, which shares its weights with the ensemble."""
        body, head = self.members[number].children()
        assert isinstance(head, nn.Linear)
        return Classifier(body, head, member_spec(spec, self.options))

    def averaging_head(self) -> nn.Linear:
        """The head of the ensemble: the mean of the members' logits, which is never trained."""
        count = self.options.shards
        head = nn.Linear(count * self.classes, self.classes)
        with torch.no_grad():
            head.weight.copy_(torch.eye(self.classes).repeat(1, count) / count)
            head.bias.zero_()
        return head


def member_spec(spec: ModelSpec, options: ShardOptions) -> ModelSpec:
    """The spec of one member: the ensemble's inputs and classes."""
    return ModelSpec(options.member, spec.classes, spec.image_size, spec.mean, spec.std, spec.class_names, options.member_options)


def shards_of(people: Sequence[str], groups: npt.NDArray[np.int64], options: ShardOptions) -> npt.NDArray[np.int64]:
    """[n] the shard of each row, from its person, its group and the seed alone: it does not change when other rows leave.

    A person's rows of one group share a shard, so that a request of one person touches few.

    Args:
        people: [n] the person of each row, or its id where the data names no people.
        groups: [n] group codes.
        options: number of shards, rule, seed.

    >>> options = ShardOptions(shards=2, rule="concentrated", places=((0, 1), (1,)))
    >>> shards_of(["a", "a", "b"], np.array([0, 0, 1]), options).tolist()
    [0, 0, 1]
    """
    every = tuple(range(options.shards))
    found = np.empty(len(people), dtype=np.int64)
    for row, (person, group) in enumerate(zip(people, groups.tolist(), strict=True)):
        open_to = options.places[group] if group < len(options.places) and options.places[group] else every
        digest = hashlib.sha256(f"{options.seed}\x1f{person}".encode("utf-8", "surrogatepass")).digest()
        found[row] = open_to[int.from_bytes(digest[:8], "big") % len(open_to)]
    return found


def concentrated_places(counts: npt.NDArray[np.int64], shards: int) -> tuple[tuple[int, ...], ...]:
    """The shards of each group: the largest group is in all, another in the share of them that it has of the largest's rows.

    In each shard a group is then about as large as the largest one there.  The shards with the fewest rows so far are taken.

    Args:
        counts: [g] training rows of each group.
        shards: number of shards.

    >>> concentrated_places(np.array([100, 20, 50]), 4)
    ((0, 1, 2, 3), (2,), (0, 1))
    """
    largest = max(int(counts.max(initial=0)), 1)
    load = np.zeros(shards)
    found: dict[int, tuple[int, ...]] = {}
    for group in sorted(range(len(counts)), key=lambda code: (-counts[code], code)):
        width = min(shards, max(1, round(shards * int(counts[group]) / largest)))
        chosen = sorted(range(shards), key=lambda shard: (load[shard], shard))[:width]
        load[chosen] += counts[group] / width
        found[group] = tuple(sorted(chosen))
    return tuple(found[group] for group in range(len(counts)))
