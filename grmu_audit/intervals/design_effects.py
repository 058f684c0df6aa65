"""Design effects: how much less several samples of one person say than as many samples of different people."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from grmu_audit.intervals.closed_forms import Floats

_BORROWED = 8
_ROUNDING = 1e-9
_DIRECT = 4
"""Times the number of samples up to which indices are counted; larger ones are sorted."""


def design_effect(values: npt.NDArray[np.number | np.bool_], person: npt.NDArray[np.int64] | None) -> float:
    """Cluster-robust variance of the mean over its independent-samples variance, at least 1.

    Formula: m/(m-1) · (n-1)/n · Σ_persons (Σ_samples (v - mean))² / Σ (v - mean)², with m persons; it is 1 where
    each person has one sample.  Where all values are equal nothing can be learnt about the correlation within a
    person, and it is taken as 1: Σ n_person² / n.

    Args:
        values: [n] one number per sample, such as right (1) or wrong (0), or a paired change in {-1, 0, 1}.
        person: [n] person index, or None where every sample is its own.

    Returns:
        A finite number >= 1; 1.0 without a person column or without samples.

    >>> design_effect(np.array([1, 1, 0, 0]), np.array([7, 7, 8, 8]))
    3.0
    """
    if person is None or not len(values):
        return 1.0
    return float(design_effects(values, np.zeros(len(values), dtype=np.int64), 1, person)[0])


def design_effects(
    values: npt.NDArray[np.number | np.bool_], cell: npt.NDArray[np.int64], cells: int, person: npt.NDArray[np.int64] | None
) -> Floats:
    """``design_effect`` of every cell by itself.

    Args:
        values: [n] one number per sample.
        cell: [n] cell index in [0, cells).
        cells: number of cells.
        person: [n] person index, or None.

    Returns:
        [cells] numbers >= 1; 1.0 for an empty cell.
    """
    if person is None or not len(values):
        return np.ones(cells)
    sums = _sums(values, cell, cells, person)
    return np.maximum(np.where(sums.known, sums.between / np.where(sums.known, sums.within, 1.0), sums.together), 1.0)


def clustered_cells(
    values: npt.NDArray[np.number | np.bool_],
    cell: npt.NDArray[np.int64],
    cells: int,
    person: npt.NDArray[np.int64] | None,
) -> tuple[Floats, list[int] | list[None]]:
    """Design effect of every cell, never below what the correlation within people over all cells together gives.

    In a cell of few people the own estimate is small just where the cell looks good by luck.  The correlation over all
    cells, rho = sum(between - within) / sum(within (b - 1)) with b the cell's mean number of samples of a sample's person,
    rests on many more people: the effect is max(own, 1 + (b - 1) rho).

    Args:
        values: [n] one number per sample.
        cell: [n] cell index.
        cells: number of cells.
        person: [n] person index, or None.

    Returns:
        [cells] design effects, and per cell the number of people that they rest on (degrees of freedom plus one, at most eight
        times the cell's own degrees: the mean of very few people is far from normal); Nones without a person column.
    """
    if person is None:
        return np.ones(cells), [None] * cells
    if not len(values):
        return np.ones(cells), [1] * cells
    s = _sums(values, cell, cells, person)
    excess = float((s.between - s.within)[s.known].sum())
    pairs = float((s.within * (s.together - 1))[s.known].sum())
    rho = min(max(excess / pairs, 0.0), 1.0) if pairs > 0 else 0.0
    own = s.between / np.where(s.known, s.within, 1.0)
    effects = np.where(s.known, np.maximum(own, 1 + (s.together - 1) * rho), s.together)
    own_degrees = np.maximum(s.persons - 1, 0)
    degrees = float(own_degrees[s.known].sum())
    persons = 1 + (np.minimum(degrees, _BORROWED * own_degrees) if degrees > 0 else own_degrees)
    return np.maximum(effects, 1.0), persons.astype(np.int64).tolist()


def contrast_inflation(
    values: npt.NDArray[np.number | np.bool_],
    row: npt.NDArray[np.int64],
    column: npt.NDArray[np.int64],
    person: npt.NDArray[np.int64] | None,
) -> tuple[float, float]:
    """How many times larger the variance of contrasts between columns can be than with independent cells.

    A contrast takes one cell of a row from another; their mean takes one contrast from each of R rows.  With one person's
    samples in several cells their means are correlated: by ``same_row`` between columns of a row, by ``same_column`` between
    rows of a column, by ``apart`` between cells that share neither (each pooled over all such pairs, from sums of residuals by
    person).  The variance of one contrast is at most 1 + max(0, -same_row) times that of independent cells, that of the mean of
    R of them at most (R - 1) abs(same_column - apart) more.

    Args:
        values: [n] one number per sample.
        row: [n] row (class) of each sample's cell.
        column: [n] column (attribute value) of each sample's cell.
        person: [n] person index, or None.

    Returns:
        Of one contrast, and of the mean; each >= 1, and 1.0 without a person column.
    """
    if person is None or not len(values):
        return 1.0, 1.0
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    cell = row * columns + column
    share = _influences(values, cell, rows * columns)
    squares = _squares(share, cell, person, rows * columns)
    spread, own = np.sqrt(squares).reshape(rows, columns), float(squares.sum())
    whole, by_row, by_column = (
        float(_squares(share, part, person, width).sum())
        for part, width in ((np.zeros_like(cell), 1), (row, rows), (column, columns))
    )
    most, most_rows, most_columns = (float((spread.sum(axis=axis) ** 2).sum()) for axis in (None, 1, 0))
    same_row = _ratio(by_row - own, most_rows - own)
    same_column = _ratio(by_column - own, most_columns - own)
    apart = _ratio(whole - by_row - by_column + own, most - most_rows - most_columns + own)
    one = max(0.0, -same_row)
    found = one, one + (rows - 1) * abs(same_column - apart)
    return tuple(1.0 + more if more > _ROUNDING else 1.0 for more in found)  # type: ignore[return-value]


def _influences(values: npt.NDArray[np.number | np.bool_], cell: npt.NDArray[np.int64], cells: int) -> Floats:
    """[n] what each sample adds to its cell's mean."""
    n = np.maximum(np.bincount(cell, minlength=cells), 1)
    mean = np.bincount(cell, weights=values.astype(np.float64), minlength=cells) / n
    result: Floats = (values.astype(np.float64) - mean[cell]) / n[cell]
    return result


def _squares(share: Floats, cell: npt.NDArray[np.int64], person: npt.NDArray[np.int64], cells: int) -> Floats:
    """[cells] squared sums by person."""
    cluster, owner = _clusters(cell, person)
    return np.bincount(owner, weights=np.bincount(cluster, weights=share) ** 2, minlength=cells).astype(np.float64)


def _ratio(part: float, most: float) -> float:
    """A correlation in [-1, 1]; 0 where there is nothing to correlate."""
    return min(max(part / most, -1.0), 1.0) if most > 1e-15 else 0.0


class _Sums(NamedTuple):
    """Sums of squares per cell."""

    between: Floats
    """Between people, with the correction for few of them."""
    within: Floats
    """Of single samples."""
    together: Floats
    """Mean number of samples of a sample's person."""
    persons: Floats
    """Distinct people."""
    known: npt.NDArray[np.bool_]
    """Whether a correlation can be estimated: values differ and there are two people."""


def _sums(
    values: npt.NDArray[np.number | np.bool_], cell: npt.NDArray[np.int64], cells: int, person: npt.NDArray[np.int64]
) -> _Sums:
    numbers = values.astype(np.float64)
    n = np.bincount(cell, minlength=cells).astype(np.float64)
    mean = np.bincount(cell, weights=numbers, minlength=cells) / np.maximum(n, 1)
    residual = numbers - mean[cell]
    cluster, owner = _clusters(cell, person)
    sums, sizes = np.bincount(cluster, weights=residual), np.bincount(cluster).astype(np.float64)
    between = np.bincount(owner, weights=sums**2, minlength=cells)
    within = np.bincount(cell, weights=residual**2, minlength=cells)
    together = np.bincount(owner, weights=sizes**2, minlength=cells) / np.maximum(n, 1)
    m: Floats = np.bincount(owner, minlength=cells).astype(np.float64)
    known = (within > 1e-12 * np.maximum(n, 1)) & (m > 1)
    corrected = between * m / np.maximum(m - 1, 1) * (n - 1) / np.maximum(n, 1)
    return _Sums(corrected, within.astype(np.float64), together, m, known)


def _clusters(cell: npt.NDArray[np.int64], person: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """[n] index of the (cell, person) pair of each sample, and [pairs] the cell of each pair."""
    dense, width = _dense(person)
    code = cell * width + dense
    if int(code.max(initial=0)) < _DIRECT * len(code):  # counted instead of sorted
        pairs = np.flatnonzero(np.bincount(code))
        index = np.empty(int(code.max()) + 1, dtype=np.int64)
        index[pairs] = np.arange(len(pairs))
        return index[code], pairs // width
    pairs, found = np.unique(code, return_inverse=True)
    return found.astype(np.int64), pairs // width


def _dense(person: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Indices of people, and a number above all of them that is not much larger than that of the samples."""
    most = int(person.max(initial=0))
    if most >= _DIRECT * len(person) or int(person.min(initial=0)) < 0:
        person = np.unique(person, return_inverse=True)[1].astype(np.int64)
        most = int(person.max(initial=0))
    return person, most + 1
