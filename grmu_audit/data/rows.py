"""One keyed digest a row: whether data is what a version was trained on, but for forgotten rows that were deleted since."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.data.dataset import ALONE, COLUMNS, Dataset, DeletedRow, Header
from grmu_audit.errors import IntegrityError
from grmu_audit.evidence import pseudonyms
from grmu_audit.evidence.pseudonyms import row_digest
from grmu_audit.records import Group
from grmu_audit.utils import canonical_json
from grmu_audit.utils.array_files import DamagedFileError, pack_arrays, unpack_arrays

SCHEMA = "grmu-audit/rows/v1"
"""Schema name and version of a table of rows."""
FOLLOWING = ("mean", "std", "features")
"""What a table's header takes from its training rows, so that it may change when rows go."""
_COLUMNS = {"name": "S32", "digest": "S32", "split": "S5", "target": "i8", "attribute": "i8"}


@dataclass(frozen=True)
class RowTable:
    """The rows of a dataset without their ids, sorted by pseudonym."""

    header: Mapping[str, Any]
    """The dataset's header as plain types."""
    header_digest: str
    """Keyed digest of it."""
    columns: Mapping[str, npt.NDArray[Any]]
    """``name`` (pseudonym), ``digest`` (keyed: id, split, labels, person, content), ``split``, ``target``, ``attribute``."""

    @property
    def names(self) -> list[str]:
        """Pseudonyms."""
        return [str(name, "ascii") for name in self.columns["name"].tolist()]

    def to_bytes(self) -> bytes:
        """The table as a file; the same bytes for the same table."""
        return pack_arrays({"schema": SCHEMA, "header": dict(self.header), "digest": self.header_digest}, dict(self.columns))

    @classmethod
    def from_bytes(cls, content: bytes) -> RowTable:
        """Read what ``to_bytes`` wrote.

        Raises:
            DamagedFileError: it is no such file.
        """
        facts, arrays = unpack_arrays(content)
        kinds = {name: np.dtype(kind) for name, kind in _COLUMNS.items()}
        whole = {name: array.dtype for name, array in arrays.items()} == kinds and {"header", "digest"} <= facts.keys()
        if facts.get("schema") != SCHEMA or not whole:
            raise DamagedFileError("it is not a table of rows")
        return cls(facts["header"], str(facts["digest"]), arrays)


def row_table(dataset: Dataset, key: bytes, recorded: RowTable | None = None) -> RowTable:
    """The table of a dataset under a key.

    Args:
        dataset: the data.
        key: the operator's key.
        recorded: where rows of the dataset were deleted, the table of the whole data under any key: their lines are taken over.
    """
    header = _plain(dataset.header)
    names = np.array(pseudonyms(key, dataset.frame["id"].tolist()), dtype="S32")
    found = {"name": names, "digest": np.array(_digests(dataset, key), dtype="S32")}
    found |= {name: dataset.frame[name].to_numpy().astype(_COLUMNS[name]) for name in ("split", "target", "attribute")}
    if recorded is not None:
        gone = np.isin(recorded.columns["name"], [row.name.encode() for row in dataset.deleted])
        found = {name: np.concatenate([column, recorded.columns[name][gone]]) for name, column in found.items()}
    order = np.argsort(found["name"], kind="stable")
    columns = {name: column[order] for name, column in found.items()}
    return RowTable(header, row_digest(key, canonical_json(header).decode()), columns)


def without_deleted(dataset: Dataset, recorded: RowTable, key: bytes, forgotten: Collection[str], label: str) -> Dataset:
    """The dataset as that of the table, less rows that were forgotten and are gone.

    Splits are the recorded ones, since a split that is sampled changes with the rows that it is sampled from, and so are the
    columns and the statistics of a table's features.

    Args:
        dataset: the data as it is now.
        recorded: the table of the data that ``label`` was trained on.
        key: the operator's key, with which the table was made.
        forgotten: pseudonyms of the rows that may be gone.
        label: for messages.

    Raises:
        IntegrityError: rows were added or changed, or others are gone, or the header was changed; all are counted.
    """
    if row_digest(key, canonical_json(recorded.header).decode()) != recorded.header_digest:
        raise IntegrityError(f"the record of the rows that {label} was trained on was changed, or is of another key")
    names, lines = pseudonyms(key, dataset.frame["id"].tolist()), {name: i for i, name in enumerate(recorded.names)}
    known = np.array([name in lines for name in names])
    place = np.array([lines.get(name, 0) for name in names], dtype=np.int64)
    splits = recorded.columns["split"][place].astype("U5")
    counted = _align(dataset, recorded.header, splits)
    changed = known & (np.array(_digests(counted, key), dtype="S32") != recorded.columns["digest"][place])
    gone = np.ones(len(lines), dtype=bool)
    gone[place[known]] = False
    missing = [name for name, lost in zip(recorded.names, gone.tolist(), strict=True) if lost]
    _refuse(dataset, label, {
        "added": int((~known).sum()),
        "changed": int(changed.sum()),
        "gone that no request of the lineage named": len(set(missing) - set(forgotten)),
    })  # fmt: skip
    parts = recorded.columns["split"][gone].astype("U5").tolist()
    groups = map(Group, recorded.columns["target"][gone].tolist(), recorded.columns["attribute"][gone].tolist())
    return replace(counted, deleted=tuple(map(DeletedRow, missing, groups, parts)))


def _refuse(dataset: Dataset, label: str, defects: Mapping[str, int]) -> None:
    found = [f"{count} {what}" for what, count in defects.items() if count]
    if found:
        raise IntegrityError(
            f"{dataset.header.name!r} is not the data that {label} was trained on (rows: {', '.join(found)}): restore the data,"
            " or train a new version on it"
        )


def _align(dataset: Dataset, header: Mapping[str, Any], splits: npt.NDArray[np.str_]) -> Dataset:
    """The dataset with recorded splits, feature columns and statistics.

    Raises:
        IntegrityError: another part of the header was changed.
    """
    now = _plain(dataset.header)
    following = FOLLOWING if dataset.header.kind == "table" else ()
    changed = [name for name in now.keys() | header.keys() if name not in following and now.get(name) != header.get(name)]
    if changed:
        raise IntegrityError(f"{dataset.header.name!r} has another {', '.join(sorted(changed))} than it had at training time")
    frame = dataset.frame.assign(split=splits.astype(object))
    if not following:
        return replace(dataset, frame=frame)
    values, features = np.asarray(dataset.pixels), tuple(header["features"])
    have = {name: i for i, name in enumerate(dataset.header.features)}
    pixels = np.zeros((len(values), len(features)), dtype=np.float32)
    for place, name in enumerate(features):  # a category that no row has any more is a column of zeros
        if name in have:
            pixels[:, place] = values[:, have[name]]
    then = replace(dataset.header, features=features, mean=tuple(header["mean"]), std=tuple(header["std"]))
    return replace(dataset, header=then, frame=frame, pixels=pixels)


def _plain(header: Header) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(canonical_json(asdict(header)))
    return tree


def _digests(dataset: Dataset, key: bytes) -> list[str]:
    """Keyed digest of each row: id, split, labels, the person where there are persons, and the decoded input."""
    own = [name for name in dataset.frame.columns if name not in COLUMNS]
    columns = [list(map(str, dataset.frame[name].tolist())) for name in ("id", "split", "target", "attribute", *own)]
    if dataset.header.subject_name:  # the place of a sample without a person changes when rows before it are deleted
        people = map(str, dataset.frame["subject"].tolist())
        columns.append([ALONE if person.startswith(ALONE) else person for person in people])
    rows = zip(*columns, dataset.content, strict=True)
    return [row_digest(key, json.dumps(row)) for row in rows]
