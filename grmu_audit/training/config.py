"""What one training or unlearning run is told."""

from __future__ import annotations

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
