"""Use case: a manifest for user images or a user table, from the contents of the table of labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grmu_audit.data.dataset import SPLITS
from grmu_audit.data.readers.features import Feature
from grmu_audit.data.readers.layout import unique_ids
from grmu_audit.data.readers.manifest import Manifest
from grmu_audit.data.readers.tabular import read_features
from grmu_audit.errors import InputError
from grmu_audit.utils import write_atomic
from grmu_audit.utils.columns import TextTable
from grmu_audit.utils.notations import LabelColumn, by_notation, check_notations, clashes, described_clash, other_notation
from grmu_audit.utils.plugins import did_you_mean
from grmu_audit.utils.table_files import read_table

MOST_LABELS = 200
"""Values that a label column may have; more means that it is no label."""


@dataclass(frozen=True)
class ImportOptions:
    """Options of the import; the rest is read from the table."""

    table: Path
    """Table of labels."""
    target: str
    """Column to predict."""
    attributes: tuple[str, ...]
    """Columns whose combinations are the groups."""
    images: Path | None = None
    """Folder of the images; None for a table of features."""
    name: str | None = None
    """Dataset name; None: the table's."""
    id: str | None = None
    """Column of ids; None: ``id`` where there is one, else the column of paths."""
    path: str = "path"
    """Column of image files."""
    split: str | None = None
    """Column of splits; None: ``split`` where there is one, else sampled."""
    subject: str | None = None
    """Column of subjects."""
    features: tuple[str, ...] = ()
    """Feature columns; empty: all others that are no index."""
    categorical: tuple[str, ...] = ()
    """Features that are categories, whatever their cells look like."""
    exact_labels: bool = False
    """Whether labels that differ in case only are kept apart."""
    size: int = 224
    """Side of an image input."""
    seed: int = 0
    """Seed for sampling validation and test rows."""
    positive: str | None = None
    """Label that counts as the positive outcome; None: the second one in order, which a line says."""


@dataclass(frozen=True)
class ImportedTable:
    """A manifest that was written."""

    manifest: Manifest
    """Its content."""
    facts: tuple[str, ...] = ()
    """Kind, range and number of values of each feature, and which columns are left out, for people."""
    warnings: tuple[str, ...] = ()
    """What looks like a mistake and may be meant."""

    @property
    def positive(self) -> str:
        """The label that counts as the positive outcome."""
        return self.manifest.target.words[self.manifest.positive_class]


def import_data(wanted: ImportOptions, out: Path) -> ImportedTable:
    """Write the manifest of a table; nothing is copied or moved.

    Label values are those that occur, in order (numbers as numbers); names can be given in the file afterwards.

    Raises:
        InputError: a column is missing, an id is empty or repeats, a column holds too many values to be a label, one label in
            two notations, or cells by which other programs say that one is missing; nearly all cells of a feature are numbers;
            or the manifest would replace the table.
    """
    if out.exists() and wanted.table.exists() and out.samefile(wanted.table):
        raise InputError(f"--out {out} is the table itself: give the manifest a name of its own")
    table = read_table(wanted.table)
    if not len(table):
        raise InputError(f"{table.source}: the table has a header and no rows: add samples")
    tree = _manifest_tree(wanted, table, out)
    warnings = [*_warn_of_defaults(wanted, tree), *_label_warnings(wanted, table)]
    _check_columns(table, tree, wanted)
    manifest = Manifest.model_validate(tree)
    features, left_out = read_features(manifest, table) if manifest.kind == "table" else ([], [])
    _write(tree, out)
    facts = [*(f"feature {feature.fact}" for feature in features), *left_out]
    warnings += [*_find_leaks(table, wanted.target, features), *(text for feature in features for text in feature.warnings)]
    return ImportedTable(manifest, tuple(facts), tuple(warnings))


def _manifest_tree(wanted: ImportOptions, table: TextTable, out: Path) -> dict[str, Any]:
    """What the manifest holds, in the order of its keys."""
    split = wanted.split or ("split" if "split" in table.header else None)
    return {
        "schema": "grmu-audit/manifest/v1",
        "name": wanted.name or wanted.table.stem,
        "kind": "image" if wanted.images else "table",
        "rows": _relative(wanted.table, out),
        **(
            {"images": _relative(wanted.images, out), "path": wanted.path, "size": wanted.size, "exact_resize": True}
            if wanted.images
            else {}
        ),
        "id": _id_column(wanted, table),
        "split": split,
        **({"held_out": {"val": 0.1, "test": 0.2, "seed": wanted.seed}} if split is None else {}),
        "target": (target := _column(table, wanted.target)),
        "positive_class": _positive(table, wanted, target["values"]),
        "attributes": [_column(table, name) for name in wanted.attributes],
        **({"exact_labels": True} if wanted.exact_labels else {}),
        **({"subject": wanted.subject} if wanted.subject else {}),
        **({"features": list(wanted.features)} if wanted.features else {}),
        **({"categorical": list(wanted.categorical)} if wanted.categorical else {}),
        "source": "",
        "licence": "",
        "attribute_provenance": "",
    }


def _label_warnings(wanted: ImportOptions, table: TextTable) -> list[str]:
    """What may be meant and may be a mistake in the columns of labels and of subjects.

    Raises:
        InputError: one label in two notations, or a value by which other programs say that one is missing.
    """
    found = []
    for name in dict.fromkeys((wanted.target, *wanted.attributes)):
        labels = LabelColumn(table.source, name, table.rows, table.column(name))
        found += check_notations(labels, exact=wanted.exact_labels)
    subjects = dict.fromkeys(filter(None, table.column(wanted.subject))) if wanted.subject else {}
    if same := clashes(subjects, exact=True):
        found.append(f"{table.source}: column {wanted.subject!r}: {described_clash(same[0])}: they count as different subjects")
    return found


def _find_leaks(table: TextTable, target: str, features: Sequence[Feature]) -> list[str]:
    """Features of few values each of which has one target only: probably the target under another name."""
    found = []
    for name in (feature.name for feature in features):
        pairs = set(zip(table.column(name), table.column(target), strict=True))
        values = {value for value, _ in pairs}
        if len(values) == len(pairs) and 1 < len(values) <= len(table) / 10:
            found.append(f"{table.source}: {target} can be read off {name} alone: is it the target under another name?")
    return found


def _write(tree: dict[str, Any], out: Path) -> None:
    import yaml

    head = "# Made by 'grmu-audit data import'; names, source, licence and provenance are yours to fill in.\n"
    write_atomic(out, (head + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)).encode())


def _relative(path: Path, out: Path) -> str:
    return os.path.relpath(path.absolute(), out.absolute().parent)


def _id_column(wanted: ImportOptions, table: TextTable) -> str:
    if wanted.id is not None:
        return wanted.id
    if "id" in table.header:
        return "id"
    if wanted.images is not None:
        return wanted.path
    near = did_you_mean("id", list(table.header))
    raise InputError(f"{table.source}: no column 'id'{near}: name the column of sample ids with --id")


def _column(table: TextTable, name: str) -> dict[str, Any]:
    values = {cell for cell in table.column(name) if cell}
    if not 1 <= len(values) <= MOST_LABELS:
        raise InputError(
            f"{table.source}: column {name!r} holds {len(values)} values, a label has 1 to {MOST_LABELS}: choose another"
        )
    return {"column": name, "values": sorted(values, key=_order)}


def _positive(table: TextTable, wanted: ImportOptions, values: list[str]) -> int:
    """Code of the positive label.

    Raises:
        InputError: it is none of the target's labels.
    """
    if wanted.positive is None:
        return min(1, len(values) - 1)
    if wanted.positive not in values:
        raise InputError(
            f"{table.source}: --positive {wanted.positive!r}{did_you_mean(wanted.positive, values)}: column {wanted.target!r} "
            f"holds {', '.join(values[:20])}"
        )
    return values.index(wanted.positive)


def _warn_of_defaults(wanted: ImportOptions, tree: dict[str, Any]) -> list[str]:
    """What was not said and decides what is measured."""
    found, values = [], tree["target"]["values"]
    if wanted.positive is None and len(values) == 2:
        found.append(
            f"{wanted.target}: {values[1]!r} counts as the positive outcome, since it comes second in order: if {values[0]!r} is "
            f"the one that people want, say --positive {values[0]}"
        )
    if not wanted.attributes:
        found.append("no --attribute: the groups are the classes, and fairness between people is not measured")
    return found


def _order(cell: str) -> tuple[int, float, str]:
    try:
        return 0, float(cell), cell
    except ValueError:
        return 1, 0.0, cell


def _check_columns(table: TextTable, tree: dict[str, Any], wanted: ImportOptions) -> None:
    """Every named column exists and has one role, and a split column holds splits."""
    if wanted.target in wanted.attributes:
        raise InputError(f"{wanted.target!r} is target and attribute at once: every group would have one class; choose another")
    named = [
        tree["id"],
        *([tree["path"]] if wanted.images else []),
        *([wanted.subject] if wanted.subject else []),
        *wanted.features,
    ]
    for name in named:
        table.column(name)
    unique_ids(table.source, table.rows, table.column(tree["id"]))
    if len(tree["target"]["values"]) < 2:
        raise InputError(f"{table.source}: the target {wanted.target!r} has one value only: there is nothing to predict")
    if tree["split"]:
        odd = next(
            ((row, cell) for row, cell in zip(table.rows, table.column(tree["split"]), strict=True) if cell not in SPLITS), None
        )
        if odd:
            row, cell = odd
            hint = other_notation(cell, by_notation(SPLITS)) + "; splits are " + ", ".join(SPLITS)
            raise InputError(f"{table.source}: row {row}: column {tree['split']!r} holds {cell[:60]!r}{hint}: correct it")
