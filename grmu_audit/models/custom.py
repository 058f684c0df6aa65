"""The user's own architecture, ``package.module:function``: only from an allow-list, since it runs code."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable

from torch import nn

from grmu_audit.errors import InputError
from grmu_audit.models.architecture import Builder
from grmu_audit.models.classifier import ModelSpec, detach_head

VARIABLE = "GRMU_AUDIT_ALLOWED_ARCHITECTURES"
"""Environment variable of the operator: names separated by commas; ``package.module:*`` allows a whole module."""


def allowed_architectures() -> tuple[str, ...]:
    """The operator's allow-list, in order."""
    return tuple(part.strip() for part in os.environ.get(VARIABLE, "").split(",") if part.strip())


def custom_builder(name: str) -> Builder:
    """The builder ``package.module:function``.

    The function gets the ``ModelSpec`` and returns a body with the width of its features, or a whole network whose last
    layer is linear; that layer is replaced.  Nothing is imported before the name is found on the allow-list: the name
    may come from a registry that others write to.

    Raises:
        InputError: not on the allow-list, not importable, no such function, or it fails.
    """
    module, _, function = name.partition(":")
    listed = allowed_architectures()
    if name not in listed and f"{module}:*" not in listed:
        shown = ", ".join(listed) or "empty"
        raise InputError(
            f"architecture {name!r} runs code that is not allowed here: the operator allows it with {VARIABLE}={name} "
            f"(the list is {shown})"
        )
    try:
        make = getattr(importlib.import_module(module), function)
    except Exception as error:  # the operator's module may raise anything
        raise InputError(f"architecture {name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    return lambda spec: _parts(name, _made(name, make, spec), spec)


def _made(name: str, make: Callable[[ModelSpec], object], spec: ModelSpec) -> object:
    """What the function returns.

    Raises:
        InputError: it raised anything.
    """
    try:
        return make(spec)
    except InputError:
        raise
    except Exception as error:  # the operator's function may raise anything
        raise InputError(f"architecture {name!r} fails: {type(error).__name__}: {error}") from error


def _parts(name: str, made: object, spec: ModelSpec) -> tuple[nn.Module, int]:
    """Body and width from what the function returned.

    Raises:
        InputError: neither (body, width) nor a network.
    """
    if isinstance(made, nn.Module):
        return detach_head(made, spec.architecture)
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module) and isinstance(made[1], int):
        return made[0], made[1]
    raise InputError(
        f"architecture {name!r} returned {type(made).__name__}: it must return a network, or (body, width of features)"
    )
