"""The counts of an audit: how often which answer was given in each group, in place of one row a sample.

They are what every metric of ``count_check.COUNTED`` follows from, and no more: of test rows the predicted classes, of retain and
forget rows by group whether the answer is right, of validation rows the same without the group; of each further model together
with the candidate's answer, since a change is measured on the same samples.  Groups with fewer than ``SUPPRESSED_BELOW`` forget
rows are counted together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.attestation import ROWS_READ_FILE, TABLES
from grmu_audit.metrics.checked_predictions import align, of_ids
from grmu_audit.records import CANDIDATE, SPLITS, SUPPRESSED_BELOW, AuditInputs, GroupCount, Predictions
from grmu_audit.utils import canonical_json

COUNTS_FILE = "counts.json"
"""In a bundle without tables: the counts."""
COUNTS_SCHEMA = "grmu-audit/counts/v1"
"""Schema of that file."""
MOST_ROWS, MOST_OF_A_MODEL = 20_000_000, 4_000_000
"""Samples that the tables of such a file may stand for: all together, and one alone."""
MOST_CLASSES = 1_000_000
"""Classes, and attribute values, that it may name."""
Ints = npt.NDArray[np.int64]
_NOBODY = -1


@dataclass(frozen=True)
class Counts:
    """Counts of the answers of every model of an audit."""

    classes: int
    """Number of classes."""
    attributes: int
    """Number of attribute values."""
    cells: tuple[tuple[int, int], ...]
    """Class and attribute value of every group that occurs in any split, sorted."""
    tables: Mapping[str, Mapping[str, Ints]]
    """By subject and split [m, 4 or 5]: target, attribute (-1: not told), the candidate's answer, of every other model its own
    answer, and how many samples that is.  An answer is a class on the test split, else 1 for right and 0 for wrong."""
    left_out: Mapping[str, str]
    """Attested SHA-256 of every file that the counts stand in place of, by name."""

    def to_json(self) -> bytes:
        """The file, in canonical form."""
        tables = {
            subject: {
                split: [[None if x == _NOBODY else x for x in row] for row in rows.tolist()] for split, rows in table.items()
            }
            for subject, table in self.tables.items()
        }
        facts = {"classes": self.classes, "attributes": self.attributes, "cells": [list(cell) for cell in self.cells]}
        return canonical_json({"schema": COUNTS_SCHEMA, **facts, "tables": tables, "left_out": dict(self.left_out)})


def is_left_out(name: str) -> bool:
    """Whether a file of the evidence holds one row, or one name, for each sample.

    >>> is_left_out("predictions/candidate.parquet"), is_left_out("rows_read-reference-1.json"), is_left_out("audit.json")
    (True, True, False)
    """
    return name.startswith((f"{TABLES}/", ROWS_READ_FILE.removesuffix(".json")))


def count_answers(inputs: AuditInputs, left_out: Mapping[str, str]) -> Counts:
    """The counts of the models of an audit.

    Args:
        inputs: models with their predictions.
        left_out: attested SHA-256 of every file that is left out, by name.

    Raises:
        InputError: there are more samples than such a file may stand for.
    """
    first = inputs.candidate.predictions
    rows = [len(model.predictions) for model in inputs.models.values()]
    if sum(rows) > MOST_ROWS or max(rows) > MOST_OF_A_MODEL:
        raise InputError(
            f"the audit has {sum(rows):,} rows of predictions, counts may stand for {MOST_ROWS:,}, and for {MOST_OF_A_MODEL:,} of"
            " a model: give the internal bundle"
        )
    tables = {}
    for subject, model in inputs.models.items():
        own = of_ids(first, model.predictions.ids) if model.purged else first
        answers = (own,) if subject == CANDIDATE else (own, align(own, model.predictions))
        tables[str(subject)] = {split: _counted(own, split, answers) for split in SPLITS}
    cells = np.unique(np.stack([first.target, first.attribute], axis=1), axis=0)
    return Counts(first.classes, first.attributes, tuple(map(tuple, cells.tolist())), tables, left_out)


def _counted(p: Predictions, split: str, models: tuple[Predictions, ...]) -> Ints:
    """[m, 4 or 5] the distinct rows of group and answers of one split, each with how often it occurs."""
    rows = p.mask(split)
    answers = [model.prediction if split == "test" else model.correct.astype(np.int64) for model in models]
    columns = np.stack([p.target, p.attribute, *answers], axis=1)[rows]
    columns[_hidden(p.group[rows], split), :2] = _NOBODY
    found, n = np.unique(columns, axis=0, return_counts=True)
    result: Ints = np.concatenate([found, n[:, None]], axis=1).astype(np.int64)
    return result


def _hidden(group: Ints, split: str) -> npt.NDArray[np.bool_]:
    """[n] rows whose group is not told."""
    if split == "val" or not len(group):
        return np.full(len(group), split == "val")
    _, index, sizes = np.unique(group, return_inverse=True, return_counts=True)
    few: npt.NDArray[np.bool_] = (sizes < SUPPRESSED_BELOW)[index] & (split == "forget")
    return few


def read_counts(tree: object, subjects: Mapping[str, bool]) -> Counts:
    """The counts that a file holds.

    Args:
        tree: the file, parsed.
        subjects: the models that the audit names, each with whether it was purged, so that test rows alone are left of it.

    Raises:
        IntegrityError: it is no such file, is about other models, its tables do not fit together, or stand for more than
            ``MOST_ROWS`` samples.
    """
    try:
        counts = _parsed(tree)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise IntegrityError(f"{COUNTS_FILE} cannot be read: {type(error).__name__}") from None
    defect = next(_defects(counts, subjects), "")
    if defect:
        raise IntegrityError(f"{COUNTS_FILE}: {defect}")
    return counts


def _parsed(tree: Any) -> Counts:
    if tree["schema"] != COUNTS_SCHEMA or tree.keys() != {"schema", "classes", "attributes", "cells", "tables", "left_out"}:
        raise ValueError(COUNTS_SCHEMA)
    tables = {
        subject: {split: _rows(rows, 4 if subject == str(CANDIDATE) else 5) for split, rows in table.items()}
        for subject, table in tree["tables"].items()
    }
    cells = tuple((_whole(target), _whole(attribute)) for target, attribute in tree["cells"])
    left_out = {str(name): str(digest) for name, digest in tree["left_out"].items()}
    return Counts(_whole(tree["classes"]), _whole(tree["attributes"]), cells, tables, left_out)


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _rows(rows: list[list[int | None]], width: int) -> Ints:
    """[m, width] rows of one split; the first two may be null together."""
    if any(len(row) != width or (row[0] is None) != (row[1] is None) for row in rows):
        raise ValueError(width)
    checked = [[*(_NOBODY if x is None else _whole(x) for x in row[:2]), *map(_whole, row[2:])] for row in rows]
    return np.array(checked, dtype=np.int64).reshape(-1, width)


def _defects(counts: Counts, subjects: Mapping[str, bool]) -> Iterator[str]:
    """Why the tables cannot be those of the audit's models."""
    if counts.tables.keys() != subjects.keys() or any(table.keys() != set(SPLITS) for table in counts.tables.values()):
        yield f"the tables are not those of {', '.join(subjects)} with the splits {', '.join(SPLITS)}"
        return
    if not 1 < counts.classes <= MOST_CLASSES or not 0 < counts.attributes <= MOST_CLASSES:
        yield f"{counts.classes} classes and {counts.attributes} attribute values are not what an audit can have"
        return
    totals = [sum(row[-1] for rows in table.values() for row in rows.tolist()) for table in counts.tables.values()]
    if sum(totals) > MOST_ROWS or max(totals) > MOST_OF_A_MODEL:
        yield f"it stands for {sum(totals):,} samples; at most {MOST_ROWS:,} are read, and {MOST_OF_A_MODEL:,} of a model"
        return
    every = [(subject, split, rows) for subject, table in counts.tables.items() for split, rows in table.items()]
    for subject, split, rows in every:
        yield from (f"{subject}, {split}: {why}" for why in _row_defects(counts, split, rows))
    for subject, split, rows in every:
        yield from (f"{subject}, {split}: {why}" for why in _other_samples(counts, split, rows, purged=subjects[subject]))


def _row_defects(counts: Counts, split: str, rows: Ints) -> Iterator[str]:
    answers = counts.classes if split == "test" else 2
    known = {*counts.cells, *([(_NOBODY, _NOBODY)] if split in ("val", "forget") else [])}
    if not set(map(tuple, rows[:, :2].tolist())) <= known or (rows[:, 2:-1] >= answers).any():
        yield "a row names a group or an answer that there is not"
    if (rows[:, -1] < 1).any() or len(np.unique(rows[:, :-1], axis=0)) < len(rows):
        yield "a row has the count 0, or occurs twice"


def _other_samples(counts: Counts, split: str, rows: Ints, *, purged: bool) -> Iterator[str]:
    """Whether the candidate's answers in a table are not those of its own table; of a purged model test rows alone are left."""
    whole, found = (_of_candidate(table) for table in (counts.tables[str(CANDIDATE)][split], rows))
    if purged and split != "test" and len(rows):
        yield "test rows alone are left of a purged version"
    elif any(n > whole.get(row, 0) for row, n in found.items()) or not (purged or whole == found):
        yield "the candidate's answers are not those of its own table"


def _of_candidate(rows: Ints) -> dict[tuple[int, ...], int]:
    found: dict[tuple[int, ...], int] = {}
    for row in rows.tolist():
        found[tuple(row[:3])] = found.get(tuple(row[:3]), 0) + row[-1]
    return found


def as_predictions(counts: Counts, subject: str, groups: tuple[GroupCount, ...]) -> tuple[Predictions, Predictions]:
    """Rows without names that have these counts: of the candidate, and of the subject in the same order.

    They give every metric of ``count_check.COUNTED`` the value that the predictions gave it.  Forget rows whose group is not told
    are shared out among the groups that have so few, by the audit's group table; no metric of such a group is shown.

    Args:
        counts: the counts.
        subject: the model.
        groups: group table of the audit.

    Raises:
        IntegrityError: the forget rows are not those of the group table.
    """
    columns = np.concatenate([_expanded(counts, code, rows, groups) for code, rows in _by_split(counts.tables[subject])])
    split, target, attribute, answer, other = columns.T
    first = Predictions(
        np.full(len(columns), "", dtype="<U1"), split, target, attribute, answer, counts.classes, counts.attributes
    )
    return first, replace(first, prediction=other)  # the same array of ids: rows are in the same order


def _by_split(table: Mapping[str, Ints]) -> Iterator[tuple[int, Ints]]:
    """Code and rows of each split, with five columns."""
    for code, split in enumerate(SPLITS):
        rows = table[split]
        yield code, rows if rows.shape[1] > 4 else rows[:, [0, 1, 2, 2, 3]]


def _expanded(counts: Counts, split: int, rows: Ints, groups: tuple[GroupCount, ...]) -> Ints:
    """[n, 5] one row a sample: split, target, attribute, and both predicted classes."""
    found = np.repeat(rows[:, :4], rows[:, 4], axis=0)
    found = found[np.argsort(found[:, 0] != _NOBODY, kind="stable")]
    hidden = int((found[:, 0] == _NOBODY).sum())
    if hidden:
        found[:hidden, :2] = _shared_out(counts, SPLITS[split], hidden, groups)
    if SPLITS[split] != "test":
        right = found[:, 2:] == 1
        found[:, 2:] = np.where(right, found[:, :1], (found[:, :1] + 1) % counts.classes)
    return np.insert(found, 0, split, axis=1)


def _shared_out(counts: Counts, split: str, rows: int, groups: tuple[GroupCount, ...]) -> Ints:
    """[rows, 2] the groups of rows whose group is not told: of validation rows any, since no metric asks."""
    if split == "val":
        return np.tile(np.array(counts.cells[0], dtype=np.int64), (rows, 1))
    few = [row for row in groups if 0 < row.forget < SUPPRESSED_BELOW]
    cells = np.array([(row.group.target, row.group.attribute) for row in few], dtype=np.int64).reshape(-1, 2)
    found: Ints = np.repeat(cells, [row.forget for row in few], axis=0)
    if len(found) != rows or not set(map(tuple, cells.tolist())) <= set(counts.cells):
        raise IntegrityError(f"{COUNTS_FILE}: forget rows of small groups are not those of the audit's group table")
    return found
