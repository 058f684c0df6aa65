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
from grmu_audit.records.predictions import LARGEST_LOGIT
from grmu_audit.utils.columns import Kind, TextTable, number_advice, number_text
from grmu_audit.utils.notations import by_notation, clashes, notation_key, other_notation
from grmu_audit.utils.plugins import did_you_mean
from grmu_audit.utils.table_files import Defects, read_table

if TYPE_CHECKING:
    import pandas as pd

_PROBABILITY_SLACK = 1e-3
_ROUNDING = 0.02
"""Difference between a probability and that of the logits which rounding in a file may explain."""
_KNOWN = ("id", "split", "target", "attribute", "subject", "prediction", "loss")
_NUMBERED = re.compile(r"(logit|prob)_(0|[1-9]\d{0,8})", re.ASCII)
_MOST_ATTRIBUTES, _MOST_COMBINATIONS, _SHOWN_NAMES = 64, 1_000_000, 10
"""Attributes that a file may have, combinations of their values, and names or numbers that a message lists."""
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass
class _Defects(Defects):
    """Defects of one prediction file."""

    path: Path = Path()

    def note(self, what: str, bad: npt.NDArray[np.bool_], values: pd.Series | None = None) -> None:
        """Take in every bad row (the header is not counted), with its value; what is wrong with all of them is said once."""
        if len(bad) > 1 and bad.all():
            self.add(f"in all {len(bad)} rows {what}{'' if values is None else f' (row 1: {_shown(values.iloc[0])})'}")
            return
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
    columns = [str(name) for name in header or frame.columns]
    _require_few_attributes(path, columns)
    defects = _Defects(path=path)
    _check_columns(columns, defects)
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
        ids=np.array(list(map(str, frame["id"])), dtype=np.str_),
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
    if not path.exists():
        raise InputError(f"{path}: no such file")
    table = read_table(path, column_kind, lambda names: _require_few_attributes(path, names))
    if not len(table):
        raise InputError(f"{path}: no rows at all")
    return used_columns(table), table.header


def _require_few_attributes(path: Path, names: Sequence[str]) -> None:
    """Before millions of cells are read."""
    defects = _Defects(path=path)
    if (count := sum(name.startswith("attribute_") for name in names)) > _MOST_ATTRIBUTES:
        defects.add(f"{count:,} columns 'attribute_*', more than the {_MOST_ATTRIBUTES} that a file may have")
    defects.stop()


def used_columns(table: TextTable) -> pd.DataFrame:
    """The columns of a table that predictions have, for ``from_frame``."""
    import pandas as pd

    return pd.DataFrame({name: _cells(table, name) for name in table.header if column_kind(name) != "skip"})


def column_kind(name: str) -> Kind:
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
    if column_kind(name) == "number" and {cell.lower() for cell in cells} <= {"true", "false", ""}:
        return pd.Series([float(cell.lower() == "true") if cell else None for cell in cells], dtype=object)
    return pd.Series([cell or None for cell in cells], dtype=object)


def _check_columns(columns: Sequence[str], defects: _Defects) -> None:
    _check_attributes(columns, defects)
    for same in clashes(dict.fromkeys(columns)):
        if used := sorted(name for name in same if column_kind(name) != "skip"):
            other = used[1] if len(used) > 1 else next(name for name in same if name != used[0])
            defects.add(f"columns {used[0]!r} and {other!r} differ in notation only: keep one of the two, or rename one")
    for name in ("id", "split", "target"):
        if name not in columns:
            defects.add(f"no column {name!r}{did_you_mean(name, _unused(columns))}")
    _check_scores(columns, defects)


def _check_attributes(columns: Sequence[str], defects: _Defects) -> None:
    """One index of all groups, or a column for each attribute."""
    single = [c for c in columns if c.startswith("attribute_")]
    if not single and "attribute" not in columns:
        defects.add(f"no column 'attribute' (or several 'attribute_*'){did_you_mean('attribute', _unused(columns))}")
    if single and "attribute" in columns:
        defects.add(
            f"columns 'attribute' and {single[0]!r} stand side by side: give 'attribute', or one column for each attribute"
        )
    if "attribute_" in single:
        defects.add("column 'attribute_' has no name behind the underscore: give the attribute one")


def _listed(values: Sequence[object], between: str = ", ") -> str:
    """The first values, and how many more."""
    more = [f"and {len(values) - _SHOWN_NAMES} more"] if len(values) > _SHOWN_NAMES else []
    return between.join([*map(str, values[:_SHOWN_NAMES]), *more])


def _unused(columns: Sequence[str]) -> list[str]:
    return [c for c in columns if c not in _KNOWN and not _NUMBERED.fullmatch(c)]


def _check_scores(columns: Sequence[str], defects: _Defects) -> None:
    """Scores of all classes from 0, as logits, as probabilities, or as both of the same number."""
    found = {
        kind: sorted(int(m[2]) for c in columns if (m := _NUMBERED.fullmatch(c)) and m[1] == kind) for kind in ("logit", "prob")
    }
    for kind, numbers in found.items():
        if len(numbers) == 1:
            one = f"{kind}_{numbers[0]}"
            defects.add(f"one column of scores only ({one}): give one per class, {kind}_0 and {kind}_1 for two classes")
        elif numbers != list(range(len(numbers))):
            defects.add(f"columns {kind}_0..{kind}_{numbers[-1]} have gaps: found [{_listed(numbers)}]")
    if all(found.values()) and len(found["logit"]) != len(found["prob"]):
        defects.add(f"{len(found['logit'])} columns of logits and {len(found['prob'])} of probabilities: give one kind")
    if not any(found.values()) and "prediction" not in columns:
        scores = [c for c in _unused(columns) if re.search("prob|score|logit|predict", c, re.IGNORECASE)]
        near = (
            f"; found {', '.join(map(repr, scores[:3]))}: give scores per class, and name them prob_0, prob_1" if scores else ""
        )
        defects.add(f"no columns 'logit_0..', 'prob_0..' or 'prediction'{near}")


def _check_ids(frame: pd.DataFrame, defects: _Defects) -> None:
    ids = frame["id"]
    defects.note("no id", ids.isna().to_numpy())
    defects.note("an id that an earlier row has", (ids.duplicated() & ids.notna()).to_numpy())


def _splits(frame: pd.DataFrame, defects: _Defects) -> Ints:
    given, known = frame["split"].astype(object), {name: code for code, name in enumerate(SPLITS)}
    codes = np.array([known.get(name, -1) for name in given], dtype=np.int64)
    odd = codes < 0
    first = str(given[odd].iloc[0]) if odd.any() else ""
    near = (
        ", training rows are retain or forget"
        if first.lower().startswith("train")
        else other_notation(first, by_notation(SPLITS))
    )
    defects.note(f"split is none of {', '.join(SPLITS)}{near}", odd, given)
    return np.where(odd, 0, codes)


def _numbers(frame: pd.DataFrame, columns: list[str], defects: _Defects) -> Floats:
    """[n, columns] finite numbers; what is none is noted and becomes 0."""
    import pandas as pd

    table = np.empty((len(frame), len(columns)))
    for position, name in enumerate(columns):
        cells = frame[name]
        given = cells if cells.dtype == np.float64 else pd.to_numeric(cells, errors="coerce")
        values: Floats = given.to_numpy(dtype=np.float64, na_value=np.nan)
        bad = ~np.isfinite(values)
        if bad.any():
            defects.note(f"{name} is not a finite number{_hint(cells, bad)}", bad, cells)
        table[:, position] = np.where(bad, 0.0, values)
    return table


def _hint(values: pd.Series, bad: npt.NDArray[np.bool_]) -> str:
    """What is probably wrong with cells that are no numbers."""
    first = values.iloc[int(bad.argmax())]
    if not isinstance(first, str):
        return ""
    if advice := number_advice(first):
        return f": {advice}"
    words = str(values.name) in ("target", "prediction") or str(values.name).startswith("attribute")
    return ", and names are not read: give the index of the class or value" if words and first[:1].isalpha() else ""


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
    if math.prod(sizes) > _MOST_COMBINATIONS:
        defects.add(f"the attributes {_listed(columns)} have {_listed(sizes, ' x ')} combinations: over a million")
        return np.zeros(len(frame), dtype=np.int64), ()
    code: Ints = table @ np.array([math.prod(sizes[i + 1 :]) for i in range(len(sizes))], dtype=np.int64)
    return code, tuple((name.removeprefix("attribute_"), size) for name, size in zip(columns, sizes, strict=True))


def _scores(frame: pd.DataFrame, defects: _Defects) -> Floats | None:
    """[n, classes] logits or log-probabilities, or None."""
    found = {kind: [f"{kind}_{i}" for i in range(len(frame.columns)) if f"{kind}_{i}" in frame] for kind in ("logit", "prob")}
    logits = _logits(frame, found["logit"], defects) if found["logit"] else None
    if not found["prob"]:
        return logits
    known = defects.count
    table = _numbers(frame, found["prob"], defects)
    if defects.count == known:
        defects.note("a probability outside [0, 1]", np.asarray(((table < 0) | (table > 1)).any(axis=1)))
        defects.note("probabilities that do not sum to 1", np.asarray(~(np.abs(table.sum(axis=1) - 1) <= _PROBABILITY_SLACK)))
    if logits is not None:
        if defects.count == known:
            differ = _differ(logits, table)
            if differ.any():
                rows = f"{int(differ.sum())} of {len(differ)} rows (first: row {int(differ.argmax()) + 1})"
                defects.add(f"in {rows} prob_* are other probabilities than those of logit_*: give one kind of scores")
        return logits
    result: Floats = np.log(np.maximum(table, np.finfo(np.float64).tiny))
    return result


def _logits(frame: pd.DataFrame, columns: list[str], defects: _Defects) -> Floats:
    table = _numbers(frame, columns, defects)
    for name, values in zip(columns, table.T, strict=True):
        absurd = np.abs(values) > LARGEST_LOGIT
        if absurd.any():
            defects.note(f"{name} is beyond {LARGEST_LOGIT:,.0f}, which no working network gives", absurd, frame[name])
    return table


def _differ(logits: Floats, probabilities: Floats) -> npt.NDArray[np.bool_]:
    """[n] whether the probabilities are not those of the logits, beyond the rounding of a file."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    implied = shifted / shifted.sum(axis=1, keepdims=True)
    return np.asarray(~(np.abs(implied - probabilities) <= _ROUNDING).all(axis=1))


def _classes(target: Ints, prediction: Ints, logits: Floats | None, defects: _Defects) -> int:
    if logits is None:
        return max(int(max(target.max(), prediction.max())) + 1, 2)
    classes = int(logits.shape[1])
    defects.note(f"target is no class of the {classes} score columns", target >= classes)
    defects.note(f"prediction is no class of the {classes} score columns", prediction >= classes)
    return classes


def _subjects(frame: pd.DataFrame, defects: _Defects) -> Ints | None:
    if "subject" not in frame:
        return None
    subject = frame["subject"]
    defects.note("no subject", subject.isna().to_numpy())
    defects.stop()
    texts = subject.astype(str)
    same = [names for names in clashes(texts.unique(), exact=True) if not _is_fraction(names[0])]
    if same:
        rows = texts.isin(same[0]).to_numpy()
        defects.note("one subject in two notations (of its number, blanks or Unicode form): write each subject in one way", rows)
        defects.stop()
    result: Ints = subject.factorize()[0].astype(np.int64)
    return result


def _is_fraction(name: str) -> bool:
    """Whether a name reads as a number that is not whole: 1.1 and 1.10 may well be two subjects."""
    key = notation_key(name)
    return isinstance(key, tuple) and len(key) > 1 and key[1] < 0
