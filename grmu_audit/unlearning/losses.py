"""Losses that several methods share: distillation and soft targets."""

from __future__ import annotations

import torch
from torch.nn import functional


def distillation(teacher: torch.Tensor, student: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)): summed over classes, averaged over the batch.

    Args:
        teacher: [b, c] logits.
        student: [b, c] logits.
        temperature: T, above 0.

    Returns:
        Scalar in nats, at least 0 up to rounding; its gradient with respect to ``student`` is T (p_student - p_teacher) / b.

    >>> a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    >>> round(float(distillation(a, b)), 4), float(distillation(a, a))
    (0.4338, 0.0)
    """
    return temperature**2 * soft_kl(functional.softmax(teacher.float() / temperature, 1), student.float() / temperature)


def soft_kl(target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """KL(target || softmax(logits)): summed over classes, averaged over the batch.

    Args:
        target: [b, c] probabilities.
        logits: [b, c].

    Returns:
        Scalar in nats; classes with target 0 add nothing.
    """
    return functional.kl_div(functional.log_softmax(logits.float(), 1), target, reduction="batchmean")
