"""Prediction files of any framework: csv or parquet, one row per sample."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.metrics.checked_predictions import crossed_names
from grmu_audit.records import SPLITS, Predictions
from grmu_audit.utils.columns import Kind, TextTable, number_text
from grmu_audit.utils.plugins import did_you_mean
from grmu_audit.utils.tables import Defects, read_table

if TYPE_CHECKING:
    import pandas as pd

_PROBABILITY_SLACK = 1e-3
_KNOWN = ("id", "split", "target", "attribute", "subject", "prediction", "loss")
_NUMBERED = re.compile(r"(logit|prob)_(\d+)")
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass
class _Defects(Defects):
    """Defects of one prediction file."""

    path: Path = Path()

    def note(self, what: str, bad: npt.NDArray[np.bool_], values: pd.Series | None = None) -> None:
        """Take in every bad row (the header is not counted), with its value."""
        self.add_rows(what, bad, None if values is None else lambda index: _shown(values.iloc[index]))

    def stop(self) -> None:
        """Raise what was collected, if anything."""
        if self.count:
            head = f"{self.path}: prediction file cannot be used (rows counted from 1 below the header):\n  "
            raise InputError(head + "\n  ".join(self.lines()))


def _shown(value: object) -> str:
    """A cell of the file as a person would write it."""
    import pandas as pd

    if isinstance(value, str):
        return repr(value) if math.isnan(float(pd.to_numeric(value, errors="coerce"))) else value
    if pd.isna(value):  # type: ignore[call-overload]
        return "empty"
    return number_text(float(value)) if isinstance(value, float) else str(value)


def read_predictions(path: Path) -> Predictions:
    """Read a prediction file.

    Columns: ``id``, ``split`` (retain, forget, val, test), ``target`` (class index from 0), ``attribute`` or several
    ``attribute_*`` (index from 0; several are crossed into one), and ``logit_0..`` or ``prob_0..`` or ``prediction``;
    optional ``subject`` (any label of a person) and ``loss`` (nats).  Probabilities become log-probabilities.  The table is
    read by the rules of ``data import``: only an empty cell is a missing value, and no column may stand twice.

    Raises:
        InputError: the file cannot be read, or rows are wrong: up to 20 defects with row numbers, never an id.
    """
    path = Path(path)
    frame, header = _frame(path)
    return from_frame(frame, path, header)


def from_frame(frame: pd.DataFrame, path: Path, header: Sequence[str] = ()) -> Predictions:
    """A table of that form, checked.

    Args:
        frame: its columns; those that are not used may be absent.
        path: its name in messages.
        header: names of all columns of the file, among which a misspelt one is looked for; by default the frame's.

    Raises:
        InputError: rows are wrong: up to 20 defects with row numbers, never an id.
    """
    defects = _Defects(path=path)
    _check_columns([str(name) for name in header or frame.columns], defects)
    defects.stop()
    _check_ids(frame, defects)
    split = _splits(frame, defects)
    target = _whole(frame, "target", defects)
    attribute, factors = _attributes(frame, defects)
    names = crossed_names(factors) if factors else ()
    logits = _scores(frame, defects)
    given = _whole(frame, "prediction", defects) if "prediction" in frame else None
    loss = _numbers(frame, ["loss"], defects)[:, 0] if "loss" in frame else None
    prediction = given if given is not None else (np.zeros(len(frame), np.int64) if logits is None else logits.argmax(axis=1))
    classes = _classes(target, prediction, logits, defects)
    defects.stop()
    return Predictions(
        ids=frame["id"].astype(str).to_numpy(dtype=np.str_),
        split=split,
        target=target,
        attribute=attribute,
        prediction=prediction.astype(np.int64),
        classes=classes,
        attributes=max(int(attribute.max()) + 1, len(names)),
        logits=logits,
        loss=loss,
        subject=_subjects(frame, defects),
        attribute_names=names,
        factors=factors,
    )


def _frame(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The columns that are used, and the names of all."""
    import pandas as pd

    if path.suffix.lower() not in (".csv", ".parquet", ".pq"):
        raise InputError(f"{path}: a prediction file ends in .csv or .parquet")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    table = read_table(path, _kind)
    if not len(table):
        raise InputError(f"{path}: no rows at all")
    columns = {name: _cells(table, name) for name in table.header if _kind(name) != "skip"}
    return pd.DataFrame(columns), table.header


def _kind(name: str) -> Kind:
    """How a column of that name is read."""
    if name in ("id", "split", "subject"):
        return "text"
    return "number" if name in _KNOWN or name.startswith("attribute_") or _NUMBERED.fullmatch(name) else "skip"


def _cells(table: TextTable, name: str) -> pd.Series:
    """A column as numbers, or as text with None where a cell is empty; ``True`` and ``False`` alone are 1 and 0."""
    import pandas as pd

    if name in table.numbers:
        return pd.Series(table.numbers[name])
    cells = table.column(name)
    if _kind(name) == "number" and {cell.lower() for cell in cells} <= {"true", "false"}:
        return pd.Series([float(cell.lower() == "true") for cell in cells])
    return pd.Series([cell or None for cell in cells], dtype=object)


def _check_columns(columns: Sequence[str], defects: _Defects) -> None:
    if not any(c == "attribute" or c.startswith("attribute_") for c in columns):
        defects.add("no column 'attribute' (or several 'attribute_*')")
    for name in ("id", "split", "target"):
        if name not in columns:
            close = did_you_mean(name, [c for c in columns if c not in _KNOWN])
            defects.add(f"no column {name!r}{close}")
    for kind in ("logit", "prob"):
        numbers = sorted(int(m[2]) for c in columns if (m := _NUMBERED.fullmatch(c)) and m[1] == kind)
        if numbers and numbers != list(range(len(numbers))):
            defects.add(f"columns {kind}_0..{kind}_{numbers[-1]} have gaps: found {numbers}")
    if not any(_NUMBERED.fullmatch(c) for c in columns) and "prediction" not in columns:
        defects.add("no columns 'logit_0..', 'prob_0..' or 'prediction'")


def _check_ids(frame: pd.DataFrame, defects: _Defects) -> None:
    ids = frame["id"]
    defects.note("no id", ids.isna().to_numpy())
    defects.note("an id that an earlier row has", (ids.duplicated() & ids.notna()).to_numpy())


def _splits(frame: pd.DataFrame, defects: _Defects) -> Ints:
    codes = frame["split"].map({name: code for code, name in enumerate(SPLITS)})
    defects.note(f"split is none of {', '.join(SPLITS)}", codes.isna().to_numpy(), frame["split"])
    return np.asarray(codes.fillna(0).to_numpy(), dtype=np.int64)


def _numbers(frame: pd.DataFrame, columns: list[str], defects: _Defects) -> Floats:
    """[n, columns] finite numbers; what is none is noted and becomes 0."""
    import pandas as pd

    table = np.empty((len(frame), len(columns)))
    for position, name in enumerate(columns):
        values: Floats = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        bad = ~np.isfinite(values)
        defects.note(f"{name} is not a finite number", bad, frame[name])
        table[:, position] = np.where(bad, 0.0, values)
    return table


def _whole(frame: pd.DataFrame, name: str, defects: _Defects) -> Ints:
    values = _numbers(frame, [name], defects)[:, 0]
    bad = (values < 0) | (values != np.floor(values)) | (values > 1e9)
    defects.note(f"{name} is not an index 0, 1, 2, ...", bad, frame[name])
    return np.where(bad, 0, values).astype(np.int64)


def _attributes(frame: pd.DataFrame, defects: _Defects) -> tuple[Ints, tuple[tuple[str, int], ...]]:
    """Attribute index; several columns are crossed, and their names and numbers of values come with them."""
    if "attribute" in frame:
        return _whole(frame, "attribute", defects), ()
    columns = sorted(str(c) for c in frame.columns if str(c).startswith("attribute_"))
    table = np.stack([_whole(frame, name, defects) for name in columns], axis=1)
    sizes = tuple(int(x) + 1 for x in table.max(axis=0))
    if np.prod(sizes, dtype=np.float64) > 1e6:
        defects.add(f"the attributes {', '.join(columns)} have {' x '.join(map(str, sizes))} combinations: over a million")
        return np.zeros(len(frame), dtype=np.int64), ()
    code: Ints = np.ravel_multi_index(tuple(table.T), sizes).astype(np.int64)
    return code, tuple((name.removeprefix("attribute_"), size) for name, size in zip(columns, sizes, strict=True))


def _scores(frame: pd.DataFrame, defects: _Defects) -> Floats | None:
    """[n, classes] logits or log-probabilities, or None."""
    found = {kind: [f"{kind}_{i}" for i in range(len(frame.columns)) if f"{kind}_{i}" in frame] for kind in ("logit", "prob")}
    if found["logit"]:
        return _numbers(frame, found["logit"], defects)
    if not found["prob"]:
        return None
    known = defects.count
    table = _numbers(frame, found["prob"], defects)
    if defects.count == known:
        defects.note("a probability outside [0, 1]", np.asarray(((table < 0) | (table > 1)).any(axis=1)))
        defects.note("probabilities that do not sum to 1", np.asarray(~(np.abs(table.sum(axis=1) - 1) <= _PROBABILITY_SLACK)))
    result: Floats = np.log(np.maximum(table, np.finfo(np.float64).tiny))
    return result


def _classes(target: Ints, prediction: Ints, logits: Floats | None, defects: _Defects) -> int:
    if logits is None:
        return max(int(max(target.max(), prediction.max())) + 1, 2)
    classes = int(logits.shape[1])
    if classes < 2:
        defects.add("one column of scores only: give one per class, logit_0 and logit_1 for two classes")
    defects.note(f"target is no class of the {classes} score columns", target >= classes)
    defects.note(f"prediction is no class of the {classes} score columns", prediction >= classes)
    return classes


def _subjects(frame: pd.DataFrame, defects: _Defects) -> Ints | None:
    if "subject" not in frame:
        return None
    subject = frame["subject"]
    defects.note("no subject", subject.isna().to_numpy())
    defects.stop()
    result: Ints = subject.factorize()[0].astype(np.int64)
    return result
