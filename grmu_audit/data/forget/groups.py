"""Splits by role, the group table, and what a request does to the group mix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grmu_audit.data.dataset import SPLITS
from grmu_audit.errors import InputError
from grmu_audit.records import ForgetRequest, Group, GroupCount, Splits, dominant_groups

if TYPE_CHECKING:
    import pandas as pd


def split_rows(frame: pd.DataFrame, request: ForgetRequest | None) -> Splits:
    """Row positions of the manifest by role: training rows of the forget set (the union of all requests of the lineage) are
    forget, all others retain; validation and test rows that a request names have no role.

    Args:
        frame: manifest with the columns ``id`` and ``split``.
        request: the checked request, or None for none.

    Raises:
        InputError: a row of an unknown split, or a requested id that is not a training row; the count, no id.
    """
    split, ids = frame["split"].to_numpy(dtype=object), frame["id"].to_numpy(dtype=object)
    odd = sum(value not in SPLITS for value in split)
    if odd:
        raise InputError(f"{odd} of {len(frame)} manifest rows are of no split among {', '.join(SPLITS)}: correct 'split'")
    wanted = set(request.forget_set) if request else set()
    withheld = set(request.withheld) if request else set()
    kept = np.fromiter((value not in withheld for value in ids), dtype=bool, count=len(ids))
    train = split == "train"
    forget = train & np.fromiter((value in wanted for value in ids), dtype=bool, count=len(ids))
    missing = len(wanted - set(ids[forget].tolist()))
    if missing:
        raise InputError(
            f"{missing} of {len(wanted)} requested ids are not in the training split: run 'forget check' on the list"
        )
    return Splits(
        retain=_positions(train & ~forget),
        forget=_positions(forget),
        val=_positions((split == "val") & kept),
        test=_positions((split == "test") & kept),
    )


def group_table(
    frame: pd.DataFrame, parts: Splits, class_names: Sequence[str], attribute_names: Sequence[str]
) -> tuple[GroupCount, ...]:
    """The group table: one row for each declared cell, class by class, also where nothing was found.

    Args:
        frame: manifest with the columns ``target`` and ``attribute``.
        parts: result of ``split_rows``.
        class_names: names by class index; their number declares the classes.
        attribute_names: names by attribute index.

    Raises:
        InputError: a label outside the declared names.
    """
    shape = (len(class_names), len(attribute_names))
    codes = np.stack([_codes(frame, "target", shape[0]), _codes(frame, "attribute", shape[1])])
    counts = {role: _cells(codes, getattr(parts, role), shape) for role in ("retain", "forget", "val", "test")}
    table = []
    for target, attribute in np.ndindex(shape):
        group = Group(int(target), int(attribute))
        n = {role: int(cells[target, attribute]) for role, cells in counts.items()}
        table.append(
            GroupCount(group=group, name=group.label(class_names, attribute_names), train=n["retain"] + n["forget"], **n)
        )
    return tuple(table)


def with_deleted(table: Sequence[GroupCount], deleted: Sequence[Group]) -> tuple[GroupCount, ...]:
    """The group table with forgotten rows that are no longer in the data, by the group of each.

    >>> with_deleted([GroupCount(Group(0, 0), "a", 9, 8, 1, 0, 5)], [Group(0, 0)])[0].forget
    2
    """
    more = Counter(deleted)
    return tuple(replace(row, train=row.train + more[row.group], forget=row.forget + more[row.group]) for row in table)


def request_groups(table: Sequence[GroupCount], named: Sequence[Group] = ()) -> tuple[Group, ...]:
    """The dominant forget group(s): those that the request names, else those with the largest share.

    >>> rows = [GroupCount(Group(0, 0), "a", 9, 8, 1, 0, 5), GroupCount(Group(1, 0), "b", 9, 5, 4, 0, 5)]
    >>> request_groups(rows)
    (Group(target=1, attribute=0),)
    """
    return tuple(sorted(set(named))) if named else dominant_groups({row.group: row.forget for row in table})


def train_counts(frame: pd.DataFrame, without: Sequence[str] = ()) -> dict[Group, int]:
    """Training samples per group that occurs, sorted; rows whose id is in ``without`` are left out."""
    rows = frame[(frame["split"] == "train") & ~frame["id"].isin(list(without))]
    sizes = rows.groupby(["target", "attribute"], sort=True).size()
    cells = sizes.index.to_frame().to_numpy(dtype=np.int64).tolist()
    return {Group(target, attribute): int(n) for (target, attribute), n in zip(cells, sizes.tolist(), strict=True)}


def _positions(mask: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


def _codes(frame: pd.DataFrame, column: str, count: int) -> npt.NDArray[np.int64]:
    values = frame[column]
    bad = int((~values.isin(range(count))).sum())
    if bad:
        raise InputError(
            f"{bad} of {len(frame)} manifest rows have a {column!r} outside 0..{count - 1}: correct them or name the values"
        )
    return values.to_numpy(dtype=np.int64)


def _cells(codes: npt.NDArray[np.int64], rows: Sequence[int], shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """[targets, attributes] rows per cell."""
    picked = codes[:, np.asarray(rows, dtype=np.int64)]
    return np.bincount(picked[0] * shape[1] + picked[1], minlength=shape[0] * shape[1]).reshape(shape)
