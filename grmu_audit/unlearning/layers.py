"""``--layers``: unlearn in the last stages of a network only, or from a named layer on; all other layers are frozen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import CONTAINERS, Classifier
from grmu_audit.utils.plugins import did_you_mean

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Stage:
    """A block of layers that is trained or frozen as one."""

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


ALL = "all"
"""Every layer is trained."""


def leaf_modules(model: Classifier) -> list[tuple[str, nn.Module]]:
    """Modules that hold parameters or buffers of their own, input to output, the head last.

    Normalisation constants of the input belong to no layer.
    """
    named = [(name, module) for name, module in model.named_modules() if name and _own(module)]
    return sorted(named, key=lambda item: item[0] == "head" or item[0].startswith("head."))


def _own(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False)) or any(True for _ in module.buffers(recurse=False))


def trainable_layers(model: Classifier, layers: str) -> set[str]:
    """Names of the leaf layers that are trained.

    Args:
        model: any classifier.
        layers: ``all``; a number k for the last k stages including the head; or the name of a layer or block, which
            is trained together with everything after it.

    Raises:
        InputError: no such layer, or fewer stages than k.
    """
    every = leaf_modules(model)
    if layers == ALL:
        return {name for name, _ in every}
    if layers.isdecimal():
        chosen = {id(m) for stage in last_stages(model, int(layers)) for top in stage.modules for m in top.modules()}
        return {name for name, module in every if id(module) in chosen}
    names = [name for name, _ in every]
    first = next((i for i, name in enumerate(names) if name == layers or name.startswith(f"{layers}.")), None)
    if first is None:
        raise InputError(
            f"layers: no layer {layers!r}{did_you_mean(layers, names)}; known: {', '.join(names)}; or a number, or all"
        )
    return set(names[first:])


@contextmanager
def train_only(model: Classifier, layers: str) -> Iterator[frozenset[str]]:
    """Freeze all but the chosen layers while the context lasts; yields the names of frozen tensors.

    Frozen parameters take no gradient and frozen modules run in eval mode whatever mode the network is in, so that
    neither weight decay nor momentum nor batch statistics change them.

    Raises:
        InputError: see ``trainable_layers``.
    """
    free = trainable_layers(model, layers)
    held = [(name, module) for name, module in leaf_modules(model) if name not in free]
    for parameter in [p for _, module in held for p in module.parameters(recurse=False)]:
        parameter.requires_grad_(False)
    hooks = [module.register_forward_pre_hook(_rest) for _, module in held]
    try:
        yield frozenset(f"{name}.{key}" for name, module in held for key in module.state_dict(keep_vars=True))
    finally:
        for hook in hooks:
            hook.remove()


def _rest(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Before each forward pass of a frozen module: eval mode, of itself alone, since what it contains may move."""
    module.training = False


def unfreeze(model: Classifier) -> Classifier:
    """Remove the restriction to layers from a network, in place; a method may return a copy, which has the same hooks."""
    for module in model.modules():
        for key in [key for key, hook in module._forward_pre_hooks.items() if hook is _rest]:
            del module._forward_pre_hooks[key]
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def require_unchanged(start: Classifier, result: Classifier, held: frozenset[str], method: str) -> None:
    """Fail when a method wrote to a frozen tensor.

    Raises:
        LayersMovedError: which tensors moved.
    """
    before, after = start.state_dict(), result.state_dict()
    moved = sorted(name for name in held if name not in after or not torch.equal(before[name], after[name]))
    if moved:
        raise LayersMovedError(
            f"method {method!r} moved {len(moved)} frozen tensor(s), first {moved[0]}: it cannot be restricted to layers; "
            "nothing was registered"
        )


class LayersMovedError(InputError):
    """A method changed layers outside those that it was restricted to."""
