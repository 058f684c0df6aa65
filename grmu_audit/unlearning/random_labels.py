"""Random labels for forget samples, drawn from their own generator."""

from __future__ import annotations

import torch


def random_labels(count: int, classes: int, generator: torch.Generator) -> torch.Tensor:
    """[count] labels drawn uniformly from all classes, the true one included, so that P(true) = 1 / classes.

    >>> labels = random_labels(1000, 4, torch.Generator().manual_seed(0))
    >>> labels.shape, int(labels.min()), int(labels.max())
    (torch.Size([1000]), 0, 3)
    """
    return torch.randint(classes, (count,), generator=generator)
