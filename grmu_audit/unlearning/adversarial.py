"""Small steps of an input away from its label: of pixels in [0, 1], or of columns in units of their standard deviation.

Token numbers have no small steps: methods that need them refuse texts.
"""

from __future__ import annotations

import torch

from grmu_audit.models.classifier import Classifier
from grmu_audit.models.perturb import fgsm, input_gradient, inside, unit

__all__ = ["fgsm", "input_gradient", "inside", "pgd_l2", "unit"]


def pgd_l2(model: Classifier, pixels: torch.Tensor, target: torch.Tensor, radius: torch.Tensor, steps: int) -> torch.Tensor:
    """Projected gradient ascent of the loss in an L2 ball, with step radius / 10 (Madry et al. 2018).

    Args:
        model: in eval mode.
        pixels: [b, ...] pixels in [0, 1], or columns.
        target: [b] labels to move away from.
        radius: [b] L2 radius of each sample in units (see ``unit``).
        steps: number of steps.

    Returns:
        As the input, each within its radius.
    """
    size = radius.view(-1, *(1 for _ in pixels.shape[1:]))
    one = unit(model)
    moved = pixels
    for _ in range(steps):
        gradient = input_gradient(model, moved, target) * one
        offset = (moved - pixels) / one + size / 10.0 * gradient / _norm(gradient).clamp_min(1e-12)
        offset = offset * (size / _norm(offset).clamp_min(1e-12)).clamp_max(1.0)
        moved = inside(model, pixels + offset * one)
    return moved


def _norm(values: torch.Tensor) -> torch.Tensor:
    norm: torch.Tensor = values.flatten(1).norm(dim=1).view(-1, *(1 for _ in values.shape[1:]))
    return norm
