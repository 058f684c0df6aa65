"""Quantiles of the beta distribution, and of Student's t through it, without a statistics library: judging loads none."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(30)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
_DECAY = 32.0
_STEPS = 60
_SMALLEST = 1e-100
"""Smallest parameter: below it their product leaves the range of floats, and the quantile is 0 or 1 in every digit."""


def beta_quantile(a: Floats, b: Floats, probability: float) -> Floats:
    """Logits u of the points below which a beta distribution has a probability of at most one half.

    Newton's method on the log of the lower tail as a function of u = log(x / (1 - x)), where the density is log-concave: its
    integral from below is taken by Gauss and Legendre's rule over the 32 e-folds in which it falls.  Relative error of the
    probability below 1e-9.

    Args:
        a: [m] first parameter, > 0.
        b: [m] second parameter, > 0.
        probability: in (0, 0.5].

    Returns:
        [m] logits.

    >>> u = beta_quantile(np.array([3.0]), np.array([1.0]), 0.027)
    >>> round(float(1 / (1 + np.exp(-u[0]))), 9)  # x³ = 0.027
    0.3
    """
    a, b = np.maximum(a, _SMALLEST), np.maximum(b, _SMALLEST)
    if len(a) == 1:
        return np.array([_single_quantile(float(a[0]), float(b[0]), probability)])
    return _quantiles(a, b, probability)


@lru_cache(maxsize=1 << 14)
def _single_quantile(a: float, b: float, probability: float) -> float:
    """Kept, since the models and rules of an audit ask for the same ones again and again."""
    return float(_quantiles(np.array([a]), np.array([b]), probability)[0])


def _quantiles(a: Floats, b: Floats, probability: float) -> Floats:
    constant = np.array([math.lgamma(x + y) - math.lgamma(x) - math.lgamma(y) for x, y in zip(a, b, strict=True)])
    spread = np.sqrt((a + b) / (a * b))
    most = np.log(a / b) + spread
    u, wanted = most - spread * (1 + math.sqrt(-2 * math.log(2 * probability))), math.log(probability)
    for _ in range(_STEPS):
        tail, slope = _log_tail(u, a, b, 2 * spread)
        step = (tail + constant - wanted) / slope
        u = np.minimum(u - step, most)
        if np.all(np.abs(step) < 1e-6 * spread):  # the next step would be of the order of the square
            break
    return u


def _log_tail(u: Floats, a: Floats, b: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Log of the integral of x^a (1 - x)^b over logits below u, and the derivative of that log; the spread is two deviations."""
    here, further = (a - (a + b) / (1 + np.exp(np.minimum(away - u, 700.0))) for away in (0.0, spread))
    length = np.minimum(spread + _DECAY / further, _DECAY / np.maximum(here, 1e-300))
    points = u[:, None] - length[:, None] * _NODES
    ends = a * u - (a + b) * np.logaddexp(0.0, u)
    heights = a[:, None] * points - (a + b)[:, None] * np.logaddexp(0.0, points) - ends[:, None]
    area = length * (np.exp(heights) @ _WEIGHTS)
    return ends + np.log(area), 1 / area


def student_quantile(alpha: float, degrees: Floats) -> Floats:
    """[m] two-sided quantiles of Student's t: P(abs(T) > t) = ``alpha``; the degrees of freedom are > 0 and finite.

    >>> student_quantile(0.05, np.array([1.0, 9.0])).round(4).tolist()
    [12.7062, 2.2622]
    """
    if alpha <= 0.5:
        u = beta_quantile(degrees / 2, np.full(len(degrees), 0.5), alpha)
        return np.sqrt(degrees) * np.exp(np.minimum(-u / 2, 700.0))
    u = beta_quantile(np.full(len(degrees), 0.5), degrees / 2, 1 - alpha)
    return np.sqrt(degrees) * np.exp(u / 2)
