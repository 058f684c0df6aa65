"""The stages of a network in order, for methods and options that touch only the last of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import CONTAINERS, Classifier

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Stage:
    """A block of layers that moves or rests as one."""

    name: str
    """Path of its first module, such as ``body.3`` or ``head``."""
    modules: tuple[nn.Module, ...]
    """Its modules: a residual or transformer block, or a layer with the normalisation after it."""


def stages(model: Classifier) -> list[Stage]:
    """All stages with parameters, input to output, the head last.

    A stage is a child of the body, where sequences, lists and what the body names in ``containers`` are opened; a
    normalisation layer joins the stage before it.

    Args:
        model: any classifier; ``body`` lists its children in the order in which they run.
    """
    found: list[Stage] = []
    containers = frozenset(f"body.{path}" for path in getattr(model.body, CONTAINERS, ()))
    for name, module in _children("body", model.body, containers):
        if not any(True for _ in module.parameters()):
            continue
        if found and isinstance(module, _NORMS):
            found[-1] = Stage(found[-1].name, (*found[-1].modules, module))
        else:
            found.append(Stage(name, (module,)))
    return [*found, Stage("head", (model.head,))]


def _children(prefix: str, module: nn.Module, containers: frozenset[str]) -> Iterator[tuple[str, nn.Module]]:
    """Children in order; sequences, lists and containers, and a body that is none of these, are opened."""
    for name, child in module.named_children():
        path = f"{prefix}.{name}"
        if isinstance(child, (nn.Sequential, nn.ModuleList)) or path in containers:
            yield from _children(path, child, containers)
        else:
            yield path, child


def last_stages(model: Classifier, count: int) -> list[Stage]:
    """The last ``count`` stages, including the head.

    Raises:
        InputError: the network has fewer stages.
    """
    every = stages(model)
    if not 1 <= count <= len(every):
        raise InputError(f"last {count} stages: this network has {len(every)}: {', '.join(s.name for s in every)}")
    return every[-count:]
