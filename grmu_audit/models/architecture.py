"""Options of an architecture, typed: every unknown or impossible one is reported at once, with the known names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import ModelSpec

WIDEST, DEEPEST = 65_536, 256
"""Units that a layer, and layers that a network, may be given by an option: the options may come from a file of somebody else."""
Width = Annotated[int, Field(ge=1, le=WIDEST)]
"""Units of a layer."""


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
