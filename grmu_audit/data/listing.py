"""The result of a reader: names, labels and files, before decoding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grmu_audit.data.dataset import COLUMNS, Attribute, Header
from grmu_audit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 1000
"""Values that a target or the combination of attributes may have."""
EVERYBODY = Attribute("all", ("all samples",))
"""The attribute of data without one: the groups are the classes."""


@dataclass(frozen=True)
class Listing:
    """Image samples that are still files."""

    header: Header
    """Names, sizes and provenance."""
    frame: pd.DataFrame
    """n rows with the columns of ``dataset.COLUMNS`` and those of the single attributes."""
    root: Path
    """Folder that ``paths`` start from."""
    paths: tuple[str, ...]
    """[n] file of each sample, relative to ``root``, with forward slashes."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Samples that were left out, by the column whose label they lack."""


@dataclass(frozen=True)
class Labels:
    """Columns of a manifest before they are put together; every sequence has one entry per sample."""

    ids: Sequence[str]
    """Names that users put into forget lists."""
    split: Sequence[str]
    """``train``, ``val`` or ``test``."""
    target: Sequence[int | None]
    """Class index; None where the label is missing."""
    attributes: Sequence[tuple[Attribute, Sequence[int | None]]]
    """Each attribute with its codes; None where a label is missing."""
    subject: Sequence[object] | None = None
    """The person that a sample belongs to; None where the data does not say."""
    target_name: str = "target"
    """Name of the target column, for messages."""


def listing_frame(labels: Labels) -> tuple[pd.DataFrame, tuple[str, ...], dict[str, int], npt.NDArray[np.bool_]]:
    """The manifest table of labelled samples, the names of the attribute combinations, and who was left out.

    A sample whose target or attribute is missing is left out and counted under the column's name; nothing is guessed.
    With several attributes ``attribute`` is their combination, the last one running fastest, and each one has a column.

    Returns:
        The table with ``dataset.COLUMNS`` first; the names by combination; left-out samples by column (a sample without
        several labels counts once, under the first); [n] whether each given sample was kept.

    Raises:
        InputError: no attribute, one without values, too many combinations, or no sample is left.
    """
    import pandas as pd

    _check_attributes(labels)
    kept, excluded = _find_labelled(labels)
    rows: list[int] = np.flatnonzero(kept).tolist()
    if not rows:
        raise InputError(f"no sample has all of its labels ({', '.join(excluded) or 'the table is empty'}): correct the labels")
    codes = {a.name: np.array([values[i] for i in rows], dtype=np.int64) for a, values in labels.attributes}
    combined = np.zeros(len(rows), dtype=np.int64)
    for attribute, _ in labels.attributes:
        combined = combined * len(attribute.values) + codes[attribute.name]
    subject: Sequence[object] = labels.subject if labels.subject is not None else range(len(labels.ids))
    columns: dict[str, object] = {
        "id": [str(labels.ids[i]) for i in rows],
        "split": [labels.split[i] for i in rows],
        "target": np.array([labels.target[i] for i in rows], dtype=np.int64),
        "attribute": combined,
        "subject": [subject[i] for i in rows],
    }
    if len(codes) > 1:
        columns |= {name: values for name, values in codes.items() if name not in COLUMNS}
    return pd.DataFrame(columns), combination_names([a for a, _ in labels.attributes]), excluded, kept


def _check_attributes(labels: Labels) -> None:
    names = [attribute.name for attribute, _ in labels.attributes]
    if labels.target_name in names:
        raise InputError(
            f"{labels.target_name} is target and attribute at once: every group would have one class; choose another"
        )
    if not names:
        raise InputError("no attribute column is chosen: name at least one")
    if len(set(names)) != len(names):
        raise InputError(f"an attribute column is chosen twice ({', '.join(names)}): name each once")
    empty = [attribute.name for attribute, _ in labels.attributes if not attribute.values]
    if empty:
        raise InputError(f"the attribute {empty[0]!r} has no value in any row: fill in its column, or choose another")
    size = math.prod(len(attribute.values) for attribute, _ in labels.attributes)
    if size > MOST_VALUES:
        raise InputError(f"the attributes have {size} combinations, more than {MOST_VALUES}: choose fewer columns")


def _find_labelled(labels: Labels) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """[n] samples with all labels, and how many lack which (the first that they lack)."""
    kept = np.ones(len(labels.ids), dtype=bool)
    excluded: dict[str, int] = {}
    for name, values in [(labels.target_name, labels.target), *((a.name, codes) for a, codes in labels.attributes)]:
        missing = kept & np.fromiter((value is None for value in values), dtype=bool, count=len(values))
        if missing.any():
            excluded[name] = excluded.get(name, 0) + int(missing.sum())
        kept &= ~missing
    return kept, excluded


def combination_names(attributes: Sequence[Attribute]) -> tuple[str, ...]:
    """Names of all combinations, the last attribute running fastest.

    >>> combination_names([Attribute("sex", ("female", "male")), Attribute("age", ("old", "young"))])
    ('female, old', 'female, young', 'male, old', 'male, young')
    """
    names = [""]
    for attribute in attributes:
        names = [f"{before}, {value}" if before else value for before in names for value in attribute.values]
    return tuple(names)
