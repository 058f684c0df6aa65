"""The bootstrap on counts: one multinomial sample of the cells has the law of N resampled rows, at a cost without N."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.metrics.checked_predictions import CheckedPredictions

_TABLE = 1_000_000
Codes = npt.NDArray[np.intp]
REPLICATES = 1000
"""Replicates by default."""


def count_bootstrap(counts: npt.NDArray[np.int64], replicates: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Counts of the cells in resamples of as many samples.

    Args:
        counts: [cells] samples per cell, with a positive sum.
        replicates: B > 0.
        rng: source of randomness.

    Returns:
        [B, cells] counts, each row with the sum of ``counts``; law and cost of a multinomial, O(B x cells).

    Raises:
        InputError: no sample, or no replicate.

    >>> count_bootstrap(np.array([5, 0, 3]), 2, np.random.default_rng(0)).sum(axis=1).tolist()
    [8, 8]
    """
    total = int(counts.sum())
    if total <= 0 or replicates <= 0:
        raise InputError(f"a bootstrap needs samples and replicates (found {total} and {replicates})")
    return rng.multinomial(total, counts / total, size=replicates)


def bootstrap(checked: CheckedPredictions, *, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Floats]:
    """Replicates of TA, GA, WG, EO, EP and DP (pairwise) on the test split.

    Samples are resampled; with a subject column subjects are.  A replicate in which a cell got no sample leaves that cell
    out, as the metric itself does.  Take the spread (standard deviation) from it: percentiles of WG and of the gaps do
    not cover the truth, since a resampled max - min is never 0 (docs/coverage.md).

    Returns:
        [B] values by name; NaN where a replicate does not define the metric; empty without a test sample.
    """
    if not checked.test.any():
        return {}
    p, rng = checked.predictions, np.random.default_rng(seed)
    shape = (p.classes, p.attributes, p.classes)
    code = np.ravel_multi_index((p.target[checked.test], p.attribute[checked.test], p.prediction[checked.test]), shape)
    used = np.flatnonzero(np.bincount(code)) if code.max() < _TABLE else np.unique(code)
    drawn = _drawn(np.searchsorted(used, code), len(used), checked, replicates, rng)
    y, s, yhat = (np.asarray(axis) for axis in np.unravel_index(used, shape))
    return _values(checked, drawn, y, s, yhat)


def _drawn(
    index: npt.NDArray[np.intp], cells: int, checked: CheckedPredictions, replicates: int, rng: np.random.Generator
) -> Floats:
    """[B, cells] resampled counts, of samples or of whole subjects."""
    subject = checked.person_of(checked.test)
    if subject is None:
        return count_bootstrap(np.bincount(index, minlength=cells), replicates, rng).astype(np.float64)
    from scipy.sparse import csr_array

    people = np.unique(subject, return_inverse=True)[1]
    m = int(people.max()) + 1
    table = csr_array((np.ones(len(index)), (people, index)), shape=(m, cells))
    weights = rng.multinomial(m, np.full(m, 1 / m), size=replicates)
    result: Floats = np.asarray((table.T @ weights.T).T, dtype=np.float64)
    return result


def _values(checked: CheckedPredictions, n: Floats, y: Codes, s: Codes, yhat: Codes) -> dict[str, Floats]:
    p, right = checked.predictions, y == yhat
    cell = y * p.attributes + s
    accuracy = _shares(n, cell, right)
    dominant = np.isin(cell, checked.codes_of(checked.dominant_groups))
    found = {"TA": n[:, right].sum(axis=1) / n.sum(axis=1), "WG": _known(accuracy).min(axis=1)}
    if dominant.any():
        found["GA"] = n[:, dominant & right].sum(axis=1) / _positive(n[:, dominant].sum(axis=1))
    owner = np.unique(cell) // p.attributes
    gaps = {int(c): _span(accuracy[:, owner == c]) for c in np.unique(y) if (owner == c).sum() > 1}
    if gaps:
        found["EO"] = np.mean(list(gaps.values()), axis=0)
    wanted = [c for c in ([checked.options.positive_class] if p.classes == 2 else gaps) if c in gaps]
    if wanted:
        found["EP"] = np.max([gaps[c] for c in wanted], axis=0)
    if len(np.unique(s)) > 1:
        classes = [checked.options.positive_class] if p.classes == 2 else np.unique(yhat).tolist()
        found["DP"] = np.max([_span(_shares(n, s, yhat == c)) for c in classes], axis=0)
    return found


def _shares(n: Floats, cell: npt.NDArray[np.intp], hit: npt.NDArray[np.bool_]) -> Floats:
    """[B, distinct cells] share of hits; NaN in an empty cell."""
    names, place = np.unique(cell, return_inverse=True)
    member = np.zeros((len(cell), len(names)))
    member[np.arange(len(cell)), place] = 1.0
    result: Floats = (n @ (member * hit[:, None])) / _positive(n @ member)
    return result


def _positive(n: Floats) -> Floats:
    return np.where(n > 0, n, np.nan)


def _known(shares: Floats) -> Floats:
    return np.where(np.isnan(shares), 1.0, shares)


def _span(shares: Floats) -> Floats:
    empty = np.isnan(shares)
    result: Floats = np.where(empty, -np.inf, shares).max(axis=1) - np.where(empty, np.inf, shares).min(axis=1)
    return result
