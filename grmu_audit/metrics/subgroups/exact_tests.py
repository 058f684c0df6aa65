"""Exact one-sided tests of many counts at once, and Holm's step-down over them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from grmu_audit.intervals.closed_forms import Floats

_NEGLIGIBLE = 1e-17


def fisher_tail(wrong: npt.ArrayLike, n: npt.ArrayLike, all_wrong: int, total: int) -> Floats:
    """Fisher's one-sided p-value that at least so many of ``n`` samples are among the wrong ones of all; 1 where no more are than
    their share.

    Args:
        wrong: [segments] wrong samples in each.
        n: [segments] samples in each.
        all_wrong: wrong samples in all.
        total: samples in all.

    Source: Fisher (1935).

    >>> fisher_tail([3, 1], [3, 3], 3, 6).round(3).tolist()
    [0.05, 1.0]
    """
    wrong, n = np.asarray(wrong, dtype=np.float64), np.asarray(n, dtype=np.float64)
    tail = np.ones(len(wrong))
    more = wrong * total > n * all_wrong
    k, n = wrong[more], n[more]
    logarithm = _log_choose(all_wrong, k) + _log_choose(total - all_wrong, n - k) - _log_choose(total, n)
    term, summed = np.ones(len(k)), np.ones(len(k))
    while (term > _NEGLIGIBLE * summed).any():  # terms fall from the mean on
        term = term * (all_wrong - k) * (n - k) / ((k + 1) * (total - all_wrong - n + k + 1))
        k = k + 1
        summed += term
    tail[more] = np.minimum(np.exp(logarithm) * summed, 1.0)
    return tail


def _log_choose(n: float, k: Floats) -> Floats:
    from scipy.special import gammaln

    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))


def mcnemar_tail(lost: npt.ArrayLike, gained: npt.ArrayLike) -> Floats:
    """McNemar's exact one-sided p-value that at least so many of the changed samples were lost; 1 where no more were lost than
    gained.

    Args:
        lost: [segments] samples that only the version before gets right.
        gained: [segments] samples that only the audited model gets right.

    Source: McNemar (1947).

    >>> mcnemar_tail([3, 2], [0, 2]).tolist()
    [0.125, 1.0]
    """
    from scipy.special import betainc

    lost, gained = np.asarray(lost, dtype=np.float64), np.asarray(gained, dtype=np.float64)
    return np.where(lost > gained, betainc(np.maximum(lost, 1.0), gained + 1.0, 0.5), 1.0)


def holm(p: Floats) -> Floats:
    """Holm's adjusted p-values, in the order of the given ones.

    Source: Holm (1979).

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
