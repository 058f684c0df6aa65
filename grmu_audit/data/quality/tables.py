"""The tables that the expectations are evaluated on: the manifest with derived counts, its parts, and the groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grmu_audit.data.quality.input_checks import MANIFEST_COLUMNS, QualityInputs
from grmu_audit.errors import InputError
from grmu_audit.records import ForgetRequest, Group

if TYPE_CHECKING:
    import pandas as pd

Rows = Mapping[str, npt.NDArray[np.int64]]


def split_roles(frame: pd.DataFrame, request: ForgetRequest | None) -> Rows:
    """Row positions by role, as the request states them, correct or not.

    Unlike ``data.forget.split_rows`` this refuses nothing: a requested test row comes out in both ``forget`` and ``test``, for
    the checks to find.
    """
    split = frame["split"].to_numpy(dtype=object)
    wanted = set(request.forget_set) if request else set()
    forget = np.fromiter((name in wanted for name in frame["id"]), dtype=bool, count=len(frame))
    masks = {"retain": (split == "train") & ~forget, "forget": forget, "val": split == "val", "test": split == "test"}
    return {role: np.flatnonzero(mask).astype(np.int64) for role, mask in masks.items()}


def manifest_table(inputs: QualityInputs, rows: Rows) -> pd.DataFrame:
    """The manifest in plain Python types with the derived counts, one row per sample.

    Columns added: ``parts`` (roles that hold the row), ``training_parts`` (of retain and forget), ``parts_of_id`` (roles that
    hold a row of this id), ``train_copies``, ``retain_copies`` and ``val_copies`` (rows there with the same content),
    ``train_subject`` and ``val_subject`` (1 when the subject is there too), ``near_copies`` (training rows that look almost the
    same), ``shape_ok``.

    Raises:
        InputError: hashes or flags are not one per row.
    """
    table = _plain(inputs.frame)
    held = {role: np.bincount(positions, minlength=len(table)) for role, positions in rows.items()}
    table["parts"] = sum(held.values(), np.zeros(len(table), dtype=np.int64))
    table["training_parts"] = held["retain"] + held["forget"]
    table["parts_of_id"] = _parts_of_id(table, rows)
    train, val = (np.flatnonzero(table["split"].to_numpy() == split) for split in ("train", "val"))
    hashes = np.asarray(_per_row(inputs.content, table, "content hashes"), dtype=object)
    table["train_copies"] = _copies(hashes, train)
    table["retain_copies"] = _copies(hashes, rows["retain"])
    table["val_copies"] = _copies(hashes, val)
    if inputs.near_copies is not None:
        table["near_copies"] = np.asarray(_per_row(inputs.near_copies, table, "counts of near-duplicates"), dtype=np.int64)
    if inputs.stated_size is not None:
        table["shape_ok"] = np.asarray(_per_row(inputs.stated_size, table, "size flags"), dtype=bool).astype(np.int64)
    if "subject" in inputs.frame.columns:
        subject = inputs.frame["subject"].astype(object).where(inputs.frame["subject"].notna(), None).to_numpy(dtype=object)
        for split, members in (("train", train), ("val", val)):
            known = {subject[i] for i in members} - {None}
            table[f"{split}_subject"] = [int(value in known) for value in subject]
    return table


def group_table(table: pd.DataFrame, rows: Rows, class_names: Sequence[str], attribute_names: Sequence[str]) -> pd.DataFrame:
    """One row per declared cell: ``target``, ``attribute``, ``name``, ``weight``, and counts by part and role.

    Counts: ``train``, ``retain``, ``forget``, ``val``, ``test``.  ``weight`` is the REWEIGHT weight train / retain: 1 for a group
    without training samples, infinite for one that loses all.  Rows with labels outside the declared names are not counted; other
    checks report them.
    """
    import pandas as pd

    columns: dict[str, list[int]] = {}
    cells = [Group(t, a) for t in range(len(class_names)) for a in range(len(attribute_names))]
    everything = {"train": np.flatnonzero(table["split"].to_numpy() == "train"), **rows}
    for role, positions in everything.items():
        part = table.iloc[positions]
        found = Counter(zip(part["target"], part["attribute"], strict=True))
        columns[role] = [found[(cell.target, cell.attribute)] for cell in cells]
    groups = pd.DataFrame({"target": [c.target for c in cells], "attribute": [c.attribute for c in cells], **columns})
    groups["name"] = [cell.label(class_names, attribute_names) for cell in cells]
    pairs = zip(columns["train"], columns["retain"], strict=True)
    groups["weight"] = [1.0 if not train else train / retain if retain else float("inf") for train, retain in pairs]
    return groups


def group_shift(groups: pd.DataFrame) -> tuple[dict[str, float | int | str], ...]:
    """Shift of the group mix: per group with training samples its counts, shares before and after, and the REWEIGHT weight.

    A weight that does not exist (nothing is retained) is the text ``undefined``.
    """
    before, after = int(groups["train"].sum()), int(groups["retain"].sum())
    shift: list[dict[str, float | int | str]] = []
    for row in groups[groups["train"] > 0].to_dict("records"):
        shift.append(
            {
                "target": int(row["target"]),
                "attribute": int(row["attribute"]),
                "name": str(row["name"]),
                "train": int(row["train"]),
                "retain": int(row["retain"]),
                "share_before": row["train"] / before,
                "share_after": row["retain"] / after if after else "undefined",
                "weight": float(row["weight"]) if row["retain"] else "undefined",
            }
        )
    return tuple(shift)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The manifest columns as objects with None for whatever is missing, whatever string type pandas chose."""
    table = frame.loc[:, list(MANIFEST_COLUMNS)].reset_index(drop=True).astype(object)
    return table.where(table.notna(), None)


def _parts_of_id(table: pd.DataFrame, rows: Rows) -> list[int]:
    holders: dict[object, set[str]] = {}
    ids = table["id"].to_numpy()
    for role, positions in rows.items():
        for position in positions:
            holders.setdefault(ids[position], set()).add(role)
    return [len(holders.get(name, ())) for name in ids]


def _copies(hashes: npt.NDArray[np.object_], rows: npt.NDArray[np.int64]) -> list[int]:
    found = Counter(hashes[rows].tolist())
    return [found[value] for value in hashes.tolist()]


def _per_row(values: Sequence[object], table: pd.DataFrame, what: str) -> list[object]:
    found = list(values)
    if len(found) != len(table) or any(value is None or value == "" for value in found):
        raise InputError(f"{len(found)} {what} for {len(table)} rows, or an empty one among them: give one for each row")
    return found
