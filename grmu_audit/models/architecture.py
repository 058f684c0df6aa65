"""Options of an architecture, typed, and the user's own architecture ``package.module:function``.

Every unknown or impossible option is reported at once, with the known names.  An own architecture comes only from an allow-list,
since it runs code.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import ModelSpec, detach_head

WIDEST, DEEPEST = 65_536, 256
"""Units that a layer, and layers that a network, may be given by an option: the options may come from a file of somebody else."""
Width = Annotated[int, Field(ge=1, le=WIDEST)]
"""Units of a layer."""
VARIABLE = "GRMU_AUDIT_ALLOWED_ARCHITECTURES"
"""Environment variable of the operator: names separated by commas; ``package.module:*`` allows a whole module."""


class Options(BaseModel):
    """Base of all options; frozen, unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T", bound=Options)


def options_of(kind: type[T], spec: ModelSpec) -> T:
    """The options of a spec as ``kind``.

    Raises:
        InputError: unknown or impossible options, each named.
    """
    try:
        return kind.model_validate(spec.options)
    except ValidationError as error:
        known = ", ".join(kind.model_fields) or "none"
        unknown = [str(e["loc"][0]) for e in error.errors() if e["type"] == "extra_forbidden"]
        wrong = [_wrong(e["loc"], e["msg"], e["input"]) for e in error.errors() if e["type"] != "extra_forbidden"]
        problems = ([f"unknown option(s) {', '.join(sorted(unknown))}"] if unknown else []) + wrong
        raise InputError(f"{spec.architecture}: {'; '.join(problems)}; known: {known}") from None


def _wrong(place: tuple[int | str, ...], message: str, value: object) -> str:
    hint = ", written as [24, 48, 96]" if message == "Input should be a valid tuple" else ""
    return f"{'.'.join(map(str, place))}: {message}{hint} (found {str(value)[:60]!r})"


Builder = Callable[[ModelSpec], tuple[nn.Module, int]]


def image_shape(spec: ModelSpec) -> tuple[int, int, int]:
    """Channels, height and width.

    Raises:
        InputError: the inputs are no images.
    """
    if len(spec.image_size) != 3:
        raise InputError(
            f"{spec.architecture} is for images, but one input of this data has the shape {list(spec.image_size)}: "
            "take mlp for tables, bert for texts"
        )
    channels, height, width = spec.image_size
    return channels, height, width


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
