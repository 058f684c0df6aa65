"""A multi-layer perceptron for tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PositiveInt
from torch import nn

from grmu_audit.models.options import Options


class MlpOptions(Options):
    """Options of ``mlp``."""

    hidden: tuple[PositiveInt, ...] = Field((64, 64), min_length=1)
    """Width of each hidden layer."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of hidden values dropped."""
    norm: Literal["layer", "batch", "none"] = "layer"
    """Normalisation of each hidden layer."""


def mlp_body(shape: Sequence[int], options: MlpOptions) -> nn.Sequential:
    """Linear, normalisation, ReLU for each hidden layer; [b, ...] -> [b, hidden[-1]]."""
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = math.prod(shape)
    for width in options.hidden:
        layers.append(nn.Linear(inputs, width))
        if options.norm != "none":
            layers.append(nn.LayerNorm(width) if options.norm == "layer" else nn.BatchNorm1d(width))
        layers.append(nn.ReLU())
        if options.dropout:
            layers.append(nn.Dropout(options.dropout))
        inputs = width
    return nn.Sequential(*layers)
