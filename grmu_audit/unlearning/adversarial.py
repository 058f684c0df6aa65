"""Small steps of an input away from its label, in pixel space, [0, 1]."""

from __future__ import annotations

import torch

from grmu_audit.models.classifier import Classifier
from grmu_audit.models.perturb import fgsm, input_gradient

__all__ = ["fgsm", "input_gradient", "pgd_l2"]


def pgd_l2(model: Classifier, pixels: torch.Tensor, target: torch.Tensor, radius: torch.Tensor, steps: int) -> torch.Tensor:
    """Projected gradient ascent of the loss in an L2 ball, with step radius / 10 (Madry et al. 2018).

    Args:
        model: in eval mode.
        pixels: [b, c, h, w] in [0, 1].
        target: [b] labels to move away from.
        radius: [b] L2 radius of each sample in pixel units.
        steps: number of steps.

    Returns:
        [b, c, h, w] in [0, 1], each within its radius.
    """
    size = radius.view(-1, 1, 1, 1)
    moved = pixels
    for _ in range(steps):
        gradient = input_gradient(model, moved, target)
        offset = moved + size / 10.0 * gradient / _norm(gradient).clamp_min(1e-12) - pixels
        offset = offset * (size / _norm(offset).clamp_min(1e-12)).clamp_max(1.0)
        moved = (pixels + offset).clamp(0.0, 1.0)
    return moved


def _norm(values: torch.Tensor) -> torch.Tensor:
    norm: torch.Tensor = values.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return norm
