"""A table of numeric and categorical features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from grmu_audit.data.dataset import Dataset
from grmu_audit.data.listing import Labels, listing_frame
from grmu_audit.data.readers.features import Feature, Parsed, feature_columns, parse_feature
from grmu_audit.data.readers.manifest import Manifest, header_of
from grmu_audit.errors import InputError
from grmu_audit.utils.columns import TextTable
from grmu_audit.utils.notations import LabelColumn

MOST_CATEGORIES = 256
"""Categories that one feature may have."""


def read_tabular(manifest: Manifest, table: TextTable, labels: Labels) -> Dataset:
    """Features of a table: numbers as they are, categories as one column each (1 or 0).

    A feature whose cells are all numbers is numeric, unless the manifest calls it categorical.  The header's mean and standard
    deviation are those of the training rows, for numeric features; a model normalises with them.  Categories are those of the
    training rows; one that only occurs elsewhere is all zeros.  A row without a feature's value is left out and counted.

    Raises:
        InputError: a feature is missing or has too many categories, or no complete row is in the training split.
    """
    features, left_out = read_features(manifest, table)
    columns = {feature.name: feature.values for feature in features}
    whole, short = _whole(columns, len(table))
    if not whole.any():
        lacking = ", ".join(f"{name} in {count}" for name, count in short.items())
        raise InputError(
            f"{table.source}: no row has a value for every feature (lacking: {lacking}): leave columns out of 'features'"
        )
    frame, groups, excluded, kept = listing_frame(_only(labels, np.flatnonzero(whole).tolist()))
    rows = np.flatnonzero(whole)[kept]
    train = frame["split"].to_numpy() == "train"
    if not train.any():
        raise InputError(f"{table.source}: no complete row is in the training split: correct the split or the labels")
    blocks = [_block(table.source, name, values, rows, train) for name, values in columns.items()]
    values = np.ascontiguousarray(np.concatenate([block for _, block, _ in blocks], axis=1))
    numeric = np.concatenate([np.full(block.shape[1], scaled) for _, block, scaled in blocks])
    inputs = tuple(name for names, _, _ in blocks for name in names)
    mean, std = _statistics(values[train], numeric)
    base = header_of(manifest, labels, groups)
    header = replace(base, kind="table", image_size=(0, 0, 0), mean=mean, std=std, features=inputs)
    facts = [*(f"feature {feature.fact}" for feature in features), *left_out, *(w for f in features for w in f.warnings)]
    return Dataset(header, frame, values, {**short, **excluded}, facts=tuple(facts))


def read_features(manifest: Manifest, table: TextTable) -> tuple[list[Feature], list[str]]:
    """The features of a table, and a sentence for each index column that is left out; the target is never among them.

    Raises:
        InputError: a feature is missing, is the target, or holds numbers with a mistake among them.
    """
    taken = {manifest.id, manifest.split, manifest.subject, manifest.target.column}
    names, left_out = feature_columns(table, manifest.features, taken)
    for name in manifest.categorical:
        table.column(name)
    if manifest.target.column in names:
        raise InputError(f"{table.source}: the target {manifest.target.column!r} is among the features: remove it there")
    columns = [LabelColumn(table.source, name, table.rows, table.column(name)) for name in names]
    labels = {column.column for column in manifest.attributes}  # their notations are checked as those of labels
    return [
        parse_feature(column, categorical=column.name in manifest.categorical, named=column.name in labels) for column in columns
    ], left_out


def _whole(columns: Mapping[str, Parsed], n: int) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """[n] rows with a value for every feature, and how many lack which (the first that they lack)."""
    whole, short = np.ones(n, dtype=bool), {}
    for name, values in columns.items():
        lacks = whole & _lacking(values)
        if lacks.any():
            short[name] = int(lacks.sum())
        whole &= ~lacks
    return whole, short


def _lacking(values: Parsed) -> npt.NDArray[np.bool_]:
    if isinstance(values, list):
        return np.fromiter((not value for value in values), dtype=bool, count=len(values))
    return ~np.isfinite(values)


T = TypeVar("T")


def _some(values: Sequence[T], rows: list[int]) -> list[T]:
    return [values[i] for i in rows]


def _only(labels: Labels, rows: list[int]) -> Labels:
    return replace(
        labels,
        ids=_some(labels.ids, rows),
        split=_some(labels.split, rows),
        target=_some(labels.target, rows),
        attributes=[(attribute, _some(values, rows)) for attribute, values in labels.attributes],
        subject=_some(labels.subject, rows) if labels.subject is not None else None,
    )


def _block(
    source: str, name: str, values: Parsed, rows: npt.NDArray[np.int64], train: npt.NDArray[np.bool_]
) -> tuple[list[str], npt.NDArray[np.float32], bool]:
    """Feature names, [n, k] values, and whether they are to be standardised."""
    if not isinstance(values, list):
        return [name], values[rows][:, None], True
    cells = [values[int(i)] for i in rows]
    categories = sorted({cell for cell, learnt in zip(cells, train.tolist(), strict=True) if learnt})
    if len(categories) > MOST_CATEGORIES:
        raise InputError(
            f"{source}: column {name!r} has {len(categories)} categories, more than {MOST_CATEGORIES}: leave it out of 'features'"
        )
    code = {category: index for index, category in enumerate(categories)}
    block = np.zeros((len(cells), len(categories)), dtype=np.float32)
    for row, cell in enumerate(cells):
        if cell in code:
            block[row, code[cell]] = 1.0
    return [f"{name}={category}" for category in categories], block, False


def _statistics(train: npt.NDArray[np.float32], numeric: npt.NDArray[np.bool_]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of numeric features over training rows; 0 and 1 for the others, 1 for a constant one."""
    mean = np.where(numeric, train.mean(0, dtype=np.float64), 0.0)
    std = np.where(numeric, train.std(0, dtype=np.float64), 1.0)
    std = np.where(std > 0, std, 1.0)
    return tuple(mean.tolist()), tuple(std.tolist())
