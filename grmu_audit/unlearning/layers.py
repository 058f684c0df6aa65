"""``--layers``: unlearn in the last stages of a network only, or from a named layer on; the rest does not move at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier
from grmu_audit.plugins import nearest
from grmu_audit.unlearning.stages import last_stages

ALL = "all"
"""Every layer may move."""


def leaves(model: Classifier) -> list[tuple[str, nn.Module]]:
    """Modules that hold parameters or buffers of their own, input to output, the head last.

    Normalisation constants of the input belong to no layer.
    """
    named = [(name, module) for name, module in model.named_modules() if name and _own(module)]
    return sorted(named, key=lambda item: item[0] == "head" or item[0].startswith("head."))


def _own(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False)) or any(True for _ in module.buffers(recurse=False))


def moving(model: Classifier, layers: str) -> set[str]:
    """Names of the leaf layers that may move.

    Args:
        model: any classifier.
        layers: ``all``; a number k for the last k stages including the head; or the name of a layer or block, which
            moves together with everything after it.

    Raises:
        InputError: no such layer, or fewer stages than k.
    """
    every = leaves(model)
    if layers == ALL:
        return {name for name, _ in every}
    if layers.isdecimal():
        chosen = {id(m) for stage in last_stages(model, int(layers)) for top in stage.modules for m in top.modules()}
        return {name for name, module in every if id(module) in chosen}
    names = [name for name, _ in every]
    first = next((i for i, name in enumerate(names) if name == layers or name.startswith(f"{layers}.")), None)
    if first is None:
        raise InputError(f"layers: no layer {layers!r}{nearest(layers, names)}; known: {', '.join(names)}; or a number, or all")
    return set(names[first:])


@contextmanager
def restricted(model: Classifier, layers: str) -> Iterator[frozenset[str]]:
    """Freeze all but the chosen layers while the context lasts; yields the names of frozen tensors.

    Frozen parameters take no gradient and frozen modules run in eval mode whatever mode the network is in, so that
    neither weight decay nor momentum nor batch statistics move them.

    Raises:
        InputError: see ``moving``.
    """
    free = moving(model, layers)
    held = [(name, module) for name, module in leaves(model) if name not in free]
    body = [parameter for name, parameter in model.body.named_parameters(recurse=False)] if held else []
    for parameter in [p for _, module in held for p in module.parameters(recurse=False)] + body:
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


def release(model: Classifier) -> Classifier:
    """Take every trace of a restriction off a network, in place: it came from a copy as much as from the original."""
    for module in model.modules():
        for key in [key for key, hook in module._forward_pre_hooks.items() if hook is _rest]:
            del module._forward_pre_hooks[key]
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def require_unmoved(start: Classifier, result: Classifier, held: frozenset[str], method: str) -> None:
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
    """A method does not keep to the layers that it was restricted to."""
