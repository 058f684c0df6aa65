"""Gradients of the loss with respect to pixels, and the one step along their sign."""

from __future__ import annotations

import torch
from torch.nn import functional

from grmu_audit.models.classifier import Classifier


def input_gradient(model: Classifier, pixels: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Gradient of each sample's cross-entropy with respect to its pixels; [b, c, h, w].

    Args:
        model: in eval mode, so that samples do not depend on each other.
        pixels: [b, c, h, w] in [0, 1].
        target: [b] class index.
    """
    with torch.enable_grad():
        inputs = pixels.detach().clone().requires_grad_(True)
        loss = functional.cross_entropy(model(inputs).float(), target, reduction="sum")
        return torch.autograd.grad(loss, inputs)[0]


def fgsm(model: Classifier, pixels: torch.Tensor, target: torch.Tensor, radius: float) -> torch.Tensor:
    """One step of the fast gradient sign method: clip(x + radius sign(grad_x CE), 0, 1) (Goodfellow et al. 2015).

    Args:
        model: in eval mode.
        pixels: [b, c, h, w] in [0, 1].
        target: [b] labels to move away from.
        radius: L-infinity radius in pixel units.
    """
    return (pixels + radius * input_gradient(model, pixels, target).sign()).clamp(0.0, 1.0)
