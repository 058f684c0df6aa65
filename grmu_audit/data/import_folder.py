"""Use case: a folder with one sub-folder per class, as ``ImageFolder`` and Tiny-ImageNet have it, as a table of labels.

Layouts: ``CLASS/*.jpg``; ``train/CLASS/*.jpg`` beside ``val`` and ``test`` (also ``valid``, ``validation``); Tiny-ImageNet, whose
images lie in ``train/CLASS/images`` and ``val/images`` with ``val/val_annotations.txt``, and whose test images have no labels.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grmu_audit.data.dataset import SPLITS
from grmu_audit.data.readers.layout import held_out, unique_ids
from grmu_audit.errors import InputError
from grmu_audit.utils import write_atomic
from grmu_audit.utils.notations import by_notation, other_notation
from grmu_audit.utils.table_files import read_csv

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""Endings of files that count as images."""
PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names of folders that are splits."""
ANNOTATIONS = "val_annotations.txt"
"""Labels of Tiny-ImageNet's validation images."""
SHARE = 0.1
"""Share of the training images that is sampled as validation where a folder has none; twice that is sampled as test."""
ADVICE = "one sub-folder per class is needed, such as photos/cat/1.jpg, or photos/train/cat/1.jpg beside photos/test"


@dataclass(frozen=True)
class FolderTable:
    """A table of labels that was written."""

    path: Path
    """The file: ``id``, ``path``, ``split``, ``class``, and the columns of the attribute file."""
    attributes: tuple[str, ...]
    """Columns of the attribute file."""
    facts: tuple[str, ...]
    """What was found, in lines for people."""


@dataclass(frozen=True)
class _Row:
    path: str
    split: str
    label: str


def write_table(images: Path, out: Path, attribute_file: Path | None = None, seed: int = 0) -> FolderTable:
    """List the images of a folder with their classes; nothing is copied or moved.

    Args:
        images: the folder.
        out: CSV to write.
        attribute_file: CSV with a column ``id`` (path below the folder, or the file's name where that is unique) and columns of
            attributes; an image without a row has no label there, and is left out and counted later.
        seed: of the sampling of splits that the folder does not have.

    Raises:
        InputError: no such layout, a file name that cannot be printed, fewer than two classes, a class of validation or test
            that training lacks, or an attribute file that does not fit.
    """
    if not images.is_dir():
        raise InputError(f"--images {images}: no such folder")
    rows, left_out = _rows(images)
    for row in rows:
        if not row.path.isprintable():
            raise InputError(
                f"{images}: the file name {row.path[:80]!a} holds a character that cannot be printed: rename the file"
            )
    classes = sorted({row.label for row in rows})
    if len(classes) < 2:
        raise InputError(f"{images}: {len(classes)} class(es) with images: {ADVICE}")
    rows = _with_splits(rows, seed)
    trained = {row.label for row in rows if row.split == "train"}
    if missing := [name for name in classes if name not in trained]:
        raise InputError(f"{images}: class {missing[0]!r} has no training image: the classes of all splits have to be the same")
    names, cells = _attributes(attribute_file, [row.path for row in rows]) if attribute_file else ((), {})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "path", "split", "class", *names])
    writer.writerows([row.path, row.path, row.split, row.label, *cells.get(row.path, [""] * len(names))] for row in rows)
    write_atomic(out, text.getvalue().encode())
    counts = ", ".join(f"{part} {sum(row.split == part for row in rows)}" for part in SPLITS)
    return FolderTable(out, names, (f"{out}: {len(classes)} classes, {counts}", *left_out))


def _rows(images: Path) -> tuple[list[_Row], list[str]]:
    """Every labelled image below the folder, in order, and what has no label."""
    parts = {child.name: child for child in _folders(images) if child.name.lower() in PARTS}
    if "train" not in {name.lower() for name in parts}:
        return [_Row(path, "", label) for path, label in _by_class(images, images)], []
    rows, left_out = [], []
    for name, folder in parts.items():
        split = PARTS[name.lower()]
        found = _read_annotations(images, folder) if (folder / ANNOTATIONS).is_file() else list(_by_class(images, folder))
        rows += [_Row(path, split, label) for path, label in found]
        if not found or ([child.name for child in _folders(folder)] == ["images"] and not (folder / ANNOTATIONS).is_file()):
            rows = [row for row in rows if not row.path.startswith(f"{name}/")]
            left_out.append(f"left out: {folder}, whose images have no class")
    return rows, left_out


def _by_class(root: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Path below the root and class of every image in sub-folders, at any depth."""
    for child in _folders(folder):
        for path in sorted(child.rglob("*")):
            if path.suffix.lower() in ENDINGS and path.is_file() and not path.name.startswith("."):
                yield path.relative_to(root).as_posix(), child.name


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith((".", "__MACOSX")))


def _read_annotations(root: Path, folder: Path) -> list[tuple[str, str]]:
    """Images of Tiny-ImageNet's validation: file, class, and four numbers of a box, with tabs between."""
    found = []
    try:
        lines = (folder / ANNOTATIONS).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{folder / ANNOTATIONS}: is not UTF-8 text: byte {error.start}: save it as UTF-8") from None
    for number, line in enumerate(lines, 1):
        cells = line.split("\t")
        if len(cells) < 2 or "/" in cells[0] or not (folder / "images" / cells[0]).is_file():
            raise InputError(
                f"{folder / ANNOTATIONS}: row {number}: {cells[0][:60]!a} is not an image in {folder / 'images'}: restore it"
            )
        found.append(((folder / "images" / cells[0]).relative_to(root).as_posix(), cells[1]))
    return found


def _with_splits(rows: list[_Row], seed: int) -> list[_Row]:
    """The same rows with the splits that are missing sampled from training, by class.

    A folder with validation and without test, as Tiny-ImageNet has, is tested on its validation images.
    """
    have = {row.split for row in rows}
    rows = [_Row(row.path, row.split or "train", row.label) for row in rows]
    if "val" in have and "test" not in have:
        rows = [_Row(row.path, "test" if row.split == "val" else row.split, row.label) for row in rows]
        have = {"train", "test"}
    for split, share in (("test", 2 * SHARE), ("val", SHARE)):
        if split not in have:
            drawn: set[str] = set()
            for label in {row.label for row in rows}:
                mine = [row.path for row in rows if row.label == label and row.split == "train"]
                drawn |= held_out(mine, share, seed, split)
            rows = [_Row(row.path, split if row.path in drawn else row.split, row.label) for row in rows]
    return rows


def _attributes(file: Path, paths: list[str]) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Columns of an attribute file, and its cells by path."""
    table = read_csv(file)
    names = tuple(name for name in table.header if name != "id")
    if not names or {"path", "split", "class"} & set(names):
        raise InputError(f"{table.source}: needs the column id and columns of attributes (not path, split or class)")
    unique_ids(table.source, table.rows, table.column("id"))
    by_name: dict[str, list[str]] = {}
    for path in paths:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    known = {path: path for path in paths} | {name: found[0] for name, found in by_name.items() if len(found) == 1}
    cells: dict[str, list[str]] = {}
    for place, (row, name) in enumerate(zip(table.rows, table.column("id"), strict=True)):
        if name not in known:
            hint = other_notation(name, by_notation(known))
            raise InputError(f"{table.source}: row {row}: no image {name[:80]!a}{hint}: ids are paths such as {paths[0]}")
        if known[name] in cells:
            raise InputError(f"{table.source}: row {row}: {known[name][:80]!a} is named by path and by file name: keep one row")
        cells[known[name]] = [table.column(column)[place] for column in names]
    return names, cells
