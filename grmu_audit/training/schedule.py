"""Learning rate as a function of the step."""

from __future__ import annotations

import math


def factor(step: int, total: int, warmup: float, schedule: str) -> float:
    """Share of the peak learning rate at a step.

    Linear rise over the first ``warmup * total`` steps; then 1 (``constant``) or a half cosine down to 0 (``cosine``).

    Args:
        step: from 0 to total - 1.
        total: number of steps of the run.
        warmup: fraction of the steps that rise.
        schedule: ``cosine`` or ``constant``.

    Returns:
        A number in (0, 1].

    >>> [round(factor(s, 10, 0.2, "cosine"), 3) for s in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.038]
    """
    rise = round(warmup * total)
    if step < rise:
        return (step + 1) / rise
    if schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, total - rise)))
