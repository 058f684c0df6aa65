"""Adversarial inputs: FGSM, PGD, and the nearest other class."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch.nn import functional

from grmu_audit.errors import InputError
from grmu_audit.models.classifier import Classifier


def input_gradient(model: Classifier, pixels: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Gradient of each sample's cross-entropy with respect to its input; of the input's shape.

    Args:
        model: in eval mode, so that samples do not depend on each other.
        pixels: [b, ...] pixels in [0, 1], or columns.
        target: [b] class index.

    Raises:
        InputError: the inputs are texts.
    """
    return answer_and_gradient(model, pixels, target)[1]


def answer_and_gradient(
    model: Classifier, pixels: torch.Tensor, target: torch.Tensor, *, low: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """[b] predicted class, and what ``input_gradient`` gives, of one forward pass; the same arguments and errors.

    With ``low`` the features and their gradient are computed in bf16: directions hardly change, answers near a tie may.
    """
    if model.spec.kind == "text":
        raise InputError("this method moves inputs by small steps, and token numbers have none: choose another one for texts")
    with torch.enable_grad():
        inputs = pixels.detach().clone().requires_grad_(True)
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16) if low else nullcontext():
            features = model.features(inputs)
        logits = model.head(features.float())
        loss = functional.cross_entropy(logits.float(), target, reduction="sum")
        return logits.detach().argmax(1), torch.autograd.grad(loss, inputs)[0]


def fgsm(model: Classifier, pixels: torch.Tensor, target: torch.Tensor, radius: float) -> torch.Tensor:
    """One step of the fast gradient sign method: clip(x + radius sign(grad_x CE), 0, 1) (Goodfellow et al. 2015).

    Args:
        model: in eval mode.
        pixels: [b, ...] pixels in [0, 1]; or columns, which have no bounds.
        target: [b] labels to move away from.
        radius: L-infinity radius in units (see ``unit``).
    """
    return inside(model, pixels + radius * unit(model) * input_gradient(model, pixels, target).sign())


def unit(model: Classifier) -> torch.Tensor | float:
    """Length of a step of one: 1 for pixels, a column's standard deviation for tables."""
    return model.std if model.spec.kind == "table" else 1.0


def inside(model: Classifier, inputs: torch.Tensor) -> torch.Tensor:
    """Pixels cut to [0, 1]; columns as they are."""
    return inputs.clamp(0.0, 1.0) if model.spec.kind == "image" else inputs


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
