"""Design effects: how much less several samples of one person say than as many samples of different persons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from grmu_audit.metrics.closed_forms import Floats


def design_effect(values: npt.NDArray[np.number | np.bool_], subject: npt.NDArray[np.int64] | None) -> float:
    """Cluster-robust variance of the mean over its independent-samples variance, at least 1.

    Formula: m/(m-1) · (n-1)/n · Σ_subjects (Σ_samples (v - mean))² / Σ (v - mean)², with m subjects; it is 1 where
    each subject has one sample.  Where all values are equal nothing can be learnt about the correlation within a
    subject, and it is taken as 1: Σ n_subject² / n.

    Args:
        values: [n] one number per sample, such as right (1) or wrong (0), or a paired change in {-1, 0, 1}.
        subject: [n] person index, or None where every sample is its own.

    Returns:
        A finite number >= 1; 1.0 without a subject column or without samples.

    >>> design_effect(np.array([1, 1, 0, 0]), np.array([7, 7, 8, 8]))
    3.0
    """
    if subject is None or not len(values):
        return 1.0
    return float(design_effects(values, np.zeros(len(values), dtype=np.int64), 1, subject)[0])


def design_effects(
    values: npt.NDArray[np.number | np.bool_], cell: npt.NDArray[np.int64], cells: int, subject: npt.NDArray[np.int64] | None
) -> Floats:
    """``design_effect`` of every cell.

    Args:
        values: [n] one number per sample.
        cell: [n] cell index in [0, cells).
        cells: number of cells.
        subject: [n] person index, or None.

    Returns:
        [cells] numbers >= 1; 1.0 for an empty cell.
    """
    if subject is None or not len(values):
        return np.ones(cells)
    numbers = values.astype(np.float64)
    n = np.bincount(cell, minlength=cells).astype(np.float64)
    mean = np.bincount(cell, weights=numbers, minlength=cells) / np.maximum(n, 1)
    residual = numbers - mean[cell]
    cluster, owner = _clusters(cell, subject)
    sums, sizes = np.bincount(cluster, weights=residual), np.bincount(cluster).astype(np.float64)
    between = np.bincount(owner, weights=sums**2, minlength=cells)
    within = np.bincount(cell, weights=residual**2, minlength=cells)
    together = np.bincount(owner, weights=sizes**2, minlength=cells) / np.maximum(n, 1)
    m = np.bincount(owner, minlength=cells).astype(np.float64)
    known = (within > 1e-12 * np.maximum(n, 1)) & (m > 1)
    ratio = np.where(
        known, between / np.where(known, within, 1.0) * m / np.maximum(m - 1, 1) * (n - 1) / np.maximum(n, 1), together
    )
    return np.maximum(ratio, 1.0)


def persons_per_cell(cell: npt.NDArray[np.int64], cells: int, subject: npt.NDArray[np.int64] | None) -> list[int | None]:
    """Distinct persons of every cell, or None where samples are not clustered."""
    if subject is None:
        return [None] * cells
    if not len(subject):
        return [0] * cells
    found: list[int | None] = np.bincount(_clusters(cell, subject)[1], minlength=cells).tolist()
    return found


def _clusters(cell: npt.NDArray[np.int64], subject: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """[n] index of the (cell, subject) pair of each sample, and [pairs] the cell of each pair."""
    dense = np.unique(subject, return_inverse=True)[1].astype(np.int64)
    width = int(dense.max()) + 1
    pairs, index = np.unique(cell * width + dense, return_inverse=True)
    return index.astype(np.int64), pairs // width
