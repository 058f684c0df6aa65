"""What the readers of published layouts share: finding files, saying what is missing, reading codes."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from grmu_audit.data.dataset import Augmentation
from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.utils.columns import TextTable
from grmu_audit.utils.notations import by_notation, other_notation, plain_text

CROP_AND_FLIP = Augmentation(area=(0.08, 1.0), flip=True)
"""Random resized crop and mirror image, as in the papers."""
SPLIT_CODES = {"0": "train", "1": "val", "2": "test"}
"""Split codes of CelebA and Waterbirds."""
SHOWN = 5
"""Files that a message names."""
_MOST_FOLDERS = 100
"""Folders of each depth that a missing part is looked for in."""


@dataclass(frozen=True)
class RequiredFile:
    """Something that a layout needs."""

    names: tuple[str, ...]
    """Paths relative to the root; any one of them will do."""
    what: str
    """What it is."""


def find_files(name: str, root: Path, parts: Sequence[RequiredFile], how: str) -> list[Path]:
    """The first existing path of each part.

    Args:
        name: dataset, for messages.
        root: data root.
        parts: what is needed.
        how: how to get the data.

    Raises:
        InputError: anything is missing; one message lists all of it, where it was looked for, and how to get it.
    """
    found = [next((root / path for path in part.names if (root / path).exists()), None) for part in parts]
    missing = [part for part, path in zip(parts, found, strict=True) if path is None]
    if missing:
        what_to_do = "name that folder" if len(missing) == len(parts) else f"move it into {root}"
        lines = [
            f"  {part.what}: {' or '.join(str(root / path) for path in part.names)}{_near(name, root, part, what_to_do)}"
            for part in missing
        ]
        here = f"{len(parts) - len(missing)} of {len(parts)} parts are there"
        raise InputError("\n".join([f"{name}: not complete under {root} ({here}); missing:", *lines, f"To get it: {how}"]))
    return [path for path in found if path is not None]


def _near(name: str, root: Path, part: RequiredFile, what_to_do: str) -> str:
    """Where something that is missing lies instead: under another notation of its name, or folder levels off; else nothing."""
    paths = [path.rpartition("/")[::2] for path in part.names]
    found = [(file, near_name(file, _names(root / parent))) for parent, file in paths]
    found += [(file, near_name(file.rpartition(".")[0] or file, _names(root / parent))) for parent, file in paths]
    for file, near in found:
        if near is not None and near != file:
            return f" (there is {near!r}, which differs {difference(file, near)})"
    folders = [path for depth in ("*/", "*/*/") for path in sorted(islice(root.glob(depth), _MOST_FOLDERS))]
    for folder in folders:
        if any((folder / top / path).exists() for path in part.names for top in ("", name)):
            return f" (it lies in {folder}: {what_to_do})"
    return ""


def require_images(name: str, folder: Path, paths: Sequence[str], how: str) -> None:
    """Return when every image of a table is there.

    Raises:
        InputError: some are missing (half-unpacked, an interrupted download); counted, the first few named.
    """
    there: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        parent, _, file = path.rpartition("/")
        if parent not in there:
            there[parent] = _names(folder / parent)
        if file not in there[parent]:
            missing.append(path)
    if missing:
        shown = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        advice = _elsewhere(folder, missing, there) or f"unpack the images again. To get them: {how}"
        raise InputError(f"{name}: {len(missing)} of {len(paths)} images are missing under {folder} ({shown}): {advice}")


def _elsewhere(folder: Path, missing: Sequence[str], there: Mapping[str, set[str]]) -> str:
    """Where missing images probably are, by the first: under another notation, or a folder level off; else nothing."""
    path = missing[0]
    parent, _, file = path.rpartition("/")
    near = near_name(file, there[parent])
    if near:
        return (
            f"the table says {file!r} and the folder has {near!r}, which differ {difference(file, near)}: write the names alike"
        )
    if parent and near_name(parent.partition("/")[0], _names(folder) - {parent.partition("/")[0]}):
        top = parent.partition("/")[0]
        return f"the table says {top!r} and the folder has {near_name(top, _names(folder))!r}: write the names alike"
    inside = [folder / parent / sub for sub in sorted(there[parent]) if (folder / parent / sub / file).is_file()]
    inside += [folder / sub for sub in sorted(_names(folder)) if (folder / sub / path).is_file()]
    if inside and len(missing) == 1:
        return f"it lies in {inside[0]}: correct its path in the table"
    if inside:
        return f"they lie one folder level deeper, in {inside[0]}: move them up, or name that folder"
    if parent and (folder / path.partition("/")[2]).is_file():
        return f"the table's paths begin with {path.partition('/')[0]!r}, which is the folder itself: name the folder above it"
    return ""


def near_name(name: str, known: Collection[str]) -> str | None:
    """The known file name that is the same but for case, Unicode form or ending; None where there is none.

    >>> near_name("IMG_1.JPG", ["img_1.jpg"]), near_name("000001", ["000001.jpg"]), near_name("2.png", ["1.png"])
    ('img_1.jpg', '000001.jpg', None)
    """
    by_name = {plain_text(other).casefold(): other for other in known}
    folded = plain_text(name).casefold()
    if folded in by_name:
        return by_name[folded]
    return {other.rpartition(".")[0] or other: one for other, one in by_name.items()}.get(_stem(folded))


def _stem(name: str) -> str:
    """A file name without the ending of an image.

    >>> _stem("a.b.jpeg"), _stem("a.b")
    ('a.b', 'a.b')
    """
    head, dot, ending = name.rpartition(".")
    return head if dot and ending in ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "jfif", "heic", "avif") else name


def difference(name: str, near: str) -> str:
    """In what two names of ``near_name`` differ.

    >>> difference("1.png", "1.jpg"), difference("A.jpg", "a.jpg")
    ('in the ending', 'in case')
    """
    if plain_text(name).casefold() != plain_text(near).casefold():
        return "in the ending"
    return "in case" if plain_text(name) != plain_text(near) else "in Unicode form or blanks"


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except FileNotFoundError:
        return set()
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise InputError(
                f"{str(folder)[:300]} is not a folder of images ({error.strerror}): correct the path, or restore the folder"
            ) from None
        raise EnvironmentFailure(f"{folder} cannot be read: {error.strerror or error}") from None


def shorter_side(size: int) -> int:
    """Shorter side that an image is resized to before its centre is cut out: 256 for inputs of 224.

    >>> shorter_side(224), shorter_side(32)
    (256, 37)
    """
    return round(size * 256 / 224)


Code = TypeVar("Code", int, str)


def codes(
    source: str, column: str, rows: Sequence[int], cells: Sequence[str], known: Mapping[str, Code], *, required: bool = False
) -> list[Code | None]:
    """What cells stand for; None where a cell is empty.

    Raises:
        InputError: a cell is none of the known labels, or empty where one is required; the first such row is named, the others
            are counted.
    """
    bad = [(row, cell) for row, cell in zip(rows, cells, strict=True) if cell not in known and (cell or required)]
    if bad:
        more = f" (and {len(bad) - 1} more rows)" if len(bad) > 1 else ""
        few = ", ".join(list(known)[:20])
        hint = other_notation(bad[0][1], by_notation(known))
        raise InputError(
            f"{source}: row {bad[0][0]}: {column} is {bad[0][1][:60]!r}{hint}, must be one of {few}{more}: correct it"
        )
    return [known[cell] if cell else None for cell in cells]


def splits_of(table: TextTable, column: str, known: Mapping[str, str]) -> list[str]:
    """The split of each row.

    Args:
        table: the table.
        column: its column of splits.
        known: splits by cell.

    Raises:
        InputError: as ``codes``.
    """
    found = codes(table.source, column, table.rows, table.column(column), known, required=True)
    return [split for split in found if split is not None]


def unique_ids(source: str, rows: Sequence[int], ids: Sequence[str]) -> None:
    """Return when no id repeats and none is empty.

    Raises:
        InputError: the first offence with its rows; the others are counted.
    """
    first: dict[str, int] = {}
    bad = []
    for row, name in zip(rows, ids, strict=True):
        if not name:
            bad.append(f"row {row}: the id is empty")
        elif name in first:
            bad.append(f"row {row}: the id {name[:80]!a} is already in row {first[name]}")
        first.setdefault(name, row)
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise InputError(f"{source}: {bad[0]}{more}: give every sample an id of its own")


def held_out(ids: Sequence[str], share: float, seed: int, purpose: str) -> set[str]:
    """A share of the ids, rounded half up, sampled with a seed; the result depends on the ids alone, not on their order.

    >>> len(held_out([f"{i}.jpg" for i in range(95)], 0.1, 0, "val"))
    10
    """
    ordered = sorted(ids)
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(purpose.encode())))
    return {ordered[int(i)] for i in generator.permutation(len(ordered))[: int(len(ordered) * share + 0.5)]}


ROOT_VARIABLE = "GRMU_AUDIT_DATA_ROOT"
"""Environment variable with the data root that is used where the recorded one is not there (another machine, a moved disk)."""


def _option_names(value: object) -> object:
    """``"Male,Young"`` as two names."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_option_names)]
"""Several names: a list, or text with commas."""


class ReaderOptions(BaseModel):
    """Options of every reader of files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: str = ""
    """Data root; empty: ``$GRMU_AUDIT_DATA_ROOT``."""


class ImageOptions(ReaderOptions):
    """Options of every reader of images."""

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
        raise InputError(f"{name}: the data root {root} is not a folder: correct --data-root, or set {ROOT_VARIABLE}")
    what = f"{ROOT_VARIABLE} is {elsewhere!r}, which is not a folder" if elsewhere else "no data root is given"
    raise InputError(f"{name}: {what}: name the folder that holds the data with --data-root DIR or {ROOT_VARIABLE}")
