"""Closed-form confidence limits, vectorised over cells; the level is given as ``alpha`` = 1 - confidence, two-sided."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from grmu_audit.intervals.beta import beta_quantile, student_quantile

Floats = npt.NDArray[np.float64]
_SMALLEST_ALPHA = 1e-15


def z_value(alpha: float) -> float:
    """Two-sided normal quantile: P(abs(Z) > z) = alpha.

    >>> round(z_value(0.05), 4)
    1.96
    """
    return -NormalDist().inv_cdf(max(min(alpha, 1.0), _SMALLEST_ALPHA) / 2)


def wilson(k: Floats, n: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Wilson's score limits of a proportion k / n.

    Formula: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), with n the effective number of samples.

    Args:
        k: [cells] successes, effective (k / design effect).
        n: [cells] samples, effective, each > 0.
        alpha: 1 - confidence.

    Returns:
        Lower and upper limits in [0, 1]; each pair holds k / n.

    Source: Wilson (1927); Newcombe (1998), method 3.

    >>> low, high = wilson(np.array([3.0]), np.array([3.0]), 0.05)
    >>> round(float(low[0]), 4), float(high[0])
    (0.4385, 1.0)
    """
    z2 = z_value(alpha) ** 2
    p = k / n
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low = np.minimum(np.clip(centre - half, 0.0, 1.0), p)
    high = np.maximum(np.clip(centre + half, 0.0, 1.0), p)
    low = np.where(k <= 0, 0.0, low)
    high = np.where(k >= n, 1.0, high)
    return low, high


def exact(k: Floats, n: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Clopper-Pearson's limits of proportions k / n; counts need not be whole (Korn and Graubard's form for surveys).

    Args:
        k: [cells] successes, effective.
        n: [cells] samples, effective, each > 0.
        alpha: 1 - confidence.

    Source: Clopper and Pearson (1934); Korn and Graubard (1998).

    >>> low, high = exact(np.array([0.0]), np.array([10.0]), 0.05)
    >>> float(low[0]), round(float(high[0]), 4)
    (0.0, 0.3085)
    """
    tail = max(min(alpha, 1.0), _SMALLEST_ALPHA) / 2
    rest = np.maximum(n - k, 0.0)
    first, second = np.concatenate([k, rest]), np.concatenate([rest, k]) + 1
    inside = first > 0
    limit = np.zeros(2 * len(k))
    limit[inside] = 1 / (1 + np.exp(np.minimum(-beta_quantile(first[inside], second[inside], tail), 700.0)))
    low, high = limit[: len(k)], 1 - limit[len(k) :]
    return np.minimum(low, k / n), np.maximum(high, k / n)


def student_factor(alpha: float, degrees: Floats) -> Floats:
    """(z / t)²: what is left of an effective sample whose variance is estimated from few people.

    Args:
        alpha: 1 - confidence, two-sided.
        degrees: [cells] persons minus one; infinite where every sample is its own person.

    Returns:
        [cells] factors in (0, 1]; near 0 with one person, from whom no variance can be learnt.

    Source: Korn and Graubard (1998), degrees-of-freedom correction.

    >>> student_factor(0.05, np.array([9.0, np.inf])).round(3).tolist()
    [0.751, 1.0]
    """
    if np.isinf(degrees).all():
        return np.ones(len(degrees))
    level = max(min(alpha, 1.0), _SMALLEST_ALPHA)
    known = np.where(np.isfinite(degrees), np.maximum(degrees, 1e-2), 1.0)
    t = np.where(np.isfinite(degrees), student_quantile(level, known), z_value(alpha))
    return np.clip((z_value(alpha) / np.maximum(t, 1e-12)) ** 2, 1e-9, 1.0)


def clopper_pearson(k: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Exact (Clopper-Pearson) limits of a proportion: conservative, never below the nominal coverage.

    Args:
        k: successes, 0 <= k <= n.
        n: trials, > 0.
        confidence: coverage, in (0, 1).

    Raises:
        ValueError: n is not positive or k is outside [0, n].

    Source: Clopper and Pearson (1934).

    >>> low, high = clopper_pearson(0, 10)
    >>> low, round(high, 4)
    (0.0, 0.3085)
    """
    if not (n > 0 and 0 <= k <= n):
        raise ValueError(f"k = {k} of n = {n} is no proportion")
    low, high = exact(np.array([k], dtype=np.float64), np.array([n], dtype=np.float64), 1 - confidence)
    return float(low[0]), float(high[0])


def newcombe(p: Floats, low: Floats, high: Floats, other: tuple[Floats, Floats, Floats] | None = None) -> tuple[Floats, Floats]:
    """Limits of every difference p[i] - q[j] of independent cells from the limits of the cells (hybrid score, MOVER).

    Formula: lower[i, j] = d - sqrt((p[i] - low[i])² + (high[j] - q[j])²), the upper limit mirrored.

    Args:
        p: [cells] estimates.
        low: [cells] their lower limits.
        high: [cells] their upper limits.
        other: q with its limits; None: p and its own.

    Returns:
        Two [cells, cells] arrays; entry [i, j] is about p[i] - q[j].

    Source: Newcombe (1998), method 10; Zou and Donner (2008).
    """
    q, other_low, other_high = other or (p, low, high)
    difference = p[:, None] - q[None, :]
    down = np.hypot((p - low)[:, None], (other_high - q)[None, :])
    up = np.hypot((high - p)[:, None], (q - other_low)[None, :])
    return difference - down, difference + up


def paired_difference(gained: float, lost: float, n: float, alpha: float) -> tuple[float, float]:
    """Limits of (gained - lost) / n for paired yes/no outcomes: Bonett and Price's adjusted Wald interval.

    Each discordant count gets c added: c = 1 as published, and z²/4 where z passes 2, so that the interval has
    its coverage at the high levels that a family of rules needs.

    Args:
        gained: pairs where only the first is correct.
        lost: pairs where only the second is correct.
        n: all pairs, > 0.
        alpha: 1 - confidence.

    Returns:
        Limits within [-1, 1] that hold the estimate.

    Source: Bonett and Price (2012), J. Educ. Behav. Stat. 37(4).

    >>> low, high = paired_difference(10, 2, 100, 0.05)
    >>> round(low, 4), round(high, 4)
    (0.0082, 0.1487)
    """
    z = z_value(alpha)
    c = max(1.0, z * z / 4)
    first, second = (gained + c) / (n + 2 * c), (lost + c) / (n + 2 * c)
    centre = first - second
    half = z * math.sqrt(max(first + second - centre * centre, 0.0) / (n + 2 * c))
    estimate = (gained - lost) / n
    return max(min(centre - half, estimate), -1.0), min(max(centre + half, estimate), 1.0)


def exact_paired_difference(gained: float, lost: float, n: float, alpha: float) -> tuple[float, float]:
    """Limits of (gained - lost) / n for paired yes/no outcomes, which also hold where one of both hardly occurs.

    MOVER of the two shares p and q of one sample: lower = p - q - sqrt(a² + b² - 2 r a b), with a and b the distances of p to its
    exact lower and of q to its exact upper limit and r = -sqrt(p q / ((1 - p) (1 - q))) their correlation, half a pair added
    to both counts; the upper limit mirrored.  By enumeration over 5 to 2,000 pairs and shares from 0 to 0.49, either limit is
    missed with at most ``alpha`` / 2 up to 3 % of itself.

    Args:
        gained: pairs where only the first is correct.
        lost: pairs where only the second is correct.
        n: all pairs, > 0.
        alpha: 1 - confidence.

    Returns:
        Limits within [-1, 1] that hold the estimate.

    Source: Zou and Donner (2008), with Clopper and Pearson's limits.

    >>> low, high = exact_paired_difference(10, 2, 100, 0.05)
    >>> round(low, 4), round(high, 4)
    (0.0064, 0.1591)
    """
    counts = np.array([gained, lost], dtype=np.float64)
    p, q = (counts / n).tolist()
    low, high = exact(counts, np.array([n, n], dtype=np.float64), alpha)
    odds = [(count + 0.5) / max(n - count + 0.5, 0.5) for count in (gained, lost)]
    r = -min(math.sqrt(odds[0] * odds[1]), 1.0)
    a, b, c, d = p - low[0], high[1] - q, high[0] - p, q - low[1]
    down, up = math.sqrt(a * a + b * b - 2 * r * a * b), math.sqrt(c * c + d * d - 2 * r * c * d)
    return max(p - q - down, -1.0), min(p - q + up, 1.0)


def logit_limits(value: float, se: float, alpha: float) -> tuple[float, float]:
    """Limits of a value strictly inside (0, 1) with standard error ``se``, computed on the logit scale.

    >>> low, high = logit_limits(0.5, 0.05, 0.05)
    >>> round(low, 4), round(high, 4)
    (0.4032, 0.5968)
    """
    centre = math.log(value) - math.log1p(-value)
    half = z_value(alpha) * se / (value * (1 - value))
    return _expit(centre - half), _expit(centre + half)


def _expit(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-min(x, 700.0)))
    e = math.exp(max(x, -700.0))
    return e / (1 + e)
