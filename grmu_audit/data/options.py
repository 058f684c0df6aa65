"""Options of readers: validated, and the folder that the data lies in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from grmu_audit.errors import InputError

ROOT_VARIABLE = "GRMU_AUDIT_DATA_ROOT"
"""Environment variable with the data root that is used where the recorded one is not there (another machine, a moved disk)."""


def _names(value: object) -> object:
    """``"Male,Young"`` as two names."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
"""Several names: a list, or text with commas."""


class ReaderOptions(BaseModel):
    """What every reader of files takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: str = ""
    """Data root; empty: ``$GRMU_AUDIT_DATA_ROOT``."""


class ImageOptions(ReaderOptions):
    """What every reader of images takes."""

    size: int = Field(224, ge=8, le=1024)
    """Height and width of an input in pixels."""


O = TypeVar("O", bound=BaseModel)  # noqa: E741


def parse_options(name: str, model: type[O], options: Mapping[str, object]) -> O:
    """Validated options of a reader.

    Raises:
        InputError: unknown or impossible ones, all at once, with those that are known.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        found = [_problem(problem) for problem in error.errors()]
        known = ", ".join(sorted(model.model_fields))
        raise InputError(f"{name}: {'; '.join(found)}; known options: {known}") from None


def _problem(problem: Any) -> str:
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"unknown option {key!r}"
    return f"option {key!r}: {problem['msg'].removeprefix('Value error, ')} (found {str(problem['input'])[:60]!r})"


def data_root(name: str, root: str) -> Path:
    """The folder that a dataset is looked for in.

    The recorded root where it exists, else ``$GRMU_AUDIT_DATA_ROOT``.

    Raises:
        InputError: neither names a folder.
    """
    elsewhere = os.environ.get(ROOT_VARIABLE, "")
    for text in (root, elsewhere):
        if text and Path(text).is_dir():
            return Path(text)
    if root:
        raise InputError(f"{name}: the data root {root} is no folder: correct --data-root, or set {ROOT_VARIABLE}")
    what = f"{ROOT_VARIABLE} is {elsewhere!r}, which is no folder" if elsewhere else "no data root is given"
    raise InputError(f"{name}: {what}: name the folder that holds the data with --data-root DIR or {ROOT_VARIABLE}")
