"""Requests by person: a list of subjects as a list of rows, and rows of a person that a list does not name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from grmu_audit.data.forget.forget_list import ForgetList, raise_defects
from grmu_audit.utils.notations import by_notation, other_notation

if TYPE_CHECKING:
    import pandas as pd


def rows_of_subjects(parsed: ForgetList, frame: pd.DataFrame, subject_name: str) -> ForgetList:
    """A list without ids as the list of all rows of its subjects; any other list is given back as it is.

    Raises:
        ForgetListError: the data has no subjects, or a subject of the list is not among them or repeats; with its row.
    """
    if parsed.ids:
        return parsed
    rows = _rows_by_subject(frame) if subject_name else {}
    near = by_notation(rows)
    wanted = parsed.columns["subject"]
    defects = [
        f"row {row}: the subject {name!r} is not in the data{other_notation(name, near)}: correct or remove the row"
        for row, name in zip(parsed.rows, wanted, strict=True)
        if name not in rows
    ]
    first: dict[str, int] = {}
    defects += [
        f"row {row}: the subject {name!r} is already in row {first[name]}: remove one of the two"
        for row, name in zip(parsed.rows, wanted, strict=True)
        if first.setdefault(name, row) != row
    ]
    nobody = ["the list has no column 'id', and the data has no subjects: name the samples by their ids"]
    raise_defects(parsed.source, defects if subject_name else nobody)
    return _with_rows(parsed, [(i, row) for i, name in enumerate(wanted) for row in rows[name]])


def with_whole_subjects(
    parsed: ForgetList, frame: pd.DataFrame, forgotten: Collection[str] = (), *, take: bool
) -> tuple[ForgetList, int]:
    """The list, with all rows of its subjects if ``take`` is true; and how many of these rows it does not name.

    Args:
        parsed: the list.
        frame: manifest with the columns ``id`` and ``subject``.
        forgotten: ids that earlier requests of the lineage named; they are neither taken nor counted.
        take: whether the rows are taken.
    """
    names = dict(zip(frame["id"], frame["subject"].astype(str), strict=True))
    rows, named = _rows_by_subject(frame), {*parsed.ids, *forgotten}
    first: dict[str, int] = {}
    for index, name in enumerate(parsed.ids):
        if name in names:
            first.setdefault(names[name], index)
    others = [(index, row) for subject, index in first.items() for row in rows[subject] if row not in named]
    if not (take and others):
        return parsed, len(others)
    return _with_rows(parsed, [*enumerate(parsed.ids), *others]), 0


def _rows_by_subject(frame: pd.DataFrame) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, subject in zip(frame["id"], frame["subject"].astype(str), strict=True):
        found.setdefault(subject, []).append(name)
    return found


def _with_rows(parsed: ForgetList, rows: list[tuple[int, str]]) -> ForgetList:
    """The list with these ids, each with the fields of the list's row of an index."""
    return replace(
        parsed,
        ids=tuple(name for _, name in rows),
        rows=tuple(parsed.rows[index] for index, _ in rows),
        columns={key: tuple(values[index] for index, _ in rows) for key, values in parsed.columns.items()},
    )
