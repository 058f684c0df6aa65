"""The settings of one training or unlearning run."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainConfig(BaseModel):
    """Optimiser, schedule and batch; every value that was used is recorded on the run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(20, ge=1, le=100_000)
    """Passes over the training rows."""
    batch_size: int = Field(64, ge=2)
    """Samples per step."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """SGD with momentum, Adam, or AdamW."""
    learning_rate: float = Field(0.05, gt=0, allow_inf_nan=False)
    """Peak learning rate."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD momentum, or the first coefficient of Adam."""
    weight_decay: float = Field(5e-4, ge=0, allow_inf_nan=False)
    """L2 penalty (decoupled with AdamW)."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Decay after warm-up: cosine to zero, or none."""
    warmup: float = Field(0.2, ge=0, lt=1)
    """Fraction of all steps with linearly rising learning rate."""
    augment: bool = True
    """Whether the dataset's augmentation is applied."""
    keep_best: bool = True
    """Return the epoch with the best validation accuracy instead of the last."""


def learning_rate_factor(step: int, total: int, warmup: float, schedule: str) -> float:
    """Share of the peak learning rate at a step.

    Linear rise over the first ``warmup * total`` steps; then 1 (``constant``) or a half cosine down to 0 (``cosine``).

    Args:
        step: from 0 to total - 1.
        total: number of steps of the run.
        warmup: fraction of the steps that rise.
        schedule: ``cosine`` or ``constant``.

    Returns:
        A number in (0, 1].

    >>> [round(learning_rate_factor(s, 10, 0.2, "cosine"), 3) for s in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.038]
    """
    rise = round(warmup * total)
    if step < rise:
        return (step + 1) / rise
    if schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, total - rise)))
