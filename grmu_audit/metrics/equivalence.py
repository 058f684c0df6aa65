"""Is a model's number one that retraining could have given?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

CONFIDENCE = 0.95
"""Coverage of the prediction interval."""


def retrain_distribution(value: float, references: Sequence[float], confidence: float = CONFIDENCE) -> dict[str, Any]:
    """Where a value lies among those of models retrained from other seeds.

    The prediction interval is the range in which one more retrained model's value would lie with ``confidence``, taken
    as normal over seeds: mean ± t(m-1) sd sqrt(1 + 1/m).  It knows the spread over seeds on this test set only; the
    sampling interval of the change stands apart from it.

    Args:
        value: the candidate's value.
        references: [m] values of the retrained models.
        confidence: coverage.

    Returns:
        ``seeds`` m, ``mean``, ``sd`` (None below two), ``prediction_interval`` and ``p_value`` (two-sided, that the value
        comes from the same distribution; None below three seeds or without spread), ``inside`` (True, False or None).

    Source: Hahn and Meeker (1991), Statistical Intervals, ch. 4.

    >>> found = retrain_distribution(0.80, [0.80, 0.81, 0.82, 0.83])
    >>> found["inside"], [round(x, 3) for x in found["prediction_interval"]]
    (True, [0.769, 0.861])
    """
    m, numbers = len(references), np.asarray(references, dtype=np.float64)
    mean = float(numbers.mean()) if m else None
    sd = float(numbers.std(ddof=1)) if m > 1 else None
    made: dict[str, Any] = {"seeds": m, "mean": mean, "sd": sd, "prediction_interval": None, "p_value": None, "inside": None}
    if m < 3 or mean is None or sd is None or not sd > 0:
        return made
    from scipy.special import stdtr, stdtrit

    reach = sd * math.sqrt(1 + 1 / m)
    t = float(stdtrit(m - 1, (1 + confidence) / 2))
    low, high = mean - t * reach, mean + t * reach
    p_value = float(2 * stdtr(m - 1, -abs(value - mean) / reach))
    return {**made, "prediction_interval": [low, high], "p_value": p_value, "inside": bool(low <= value <= high)}
