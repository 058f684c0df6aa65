"""Random geometry for batches of images of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Augmentation


def transform(pixels: torch.Tensor, augmentation: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Random zoom, shift and mirror, drawn for each sample by itself.

    Args:
        pixels: [b, c, h, w] in [0, 1].
        augmentation: ranges; with the neutral ones the pixels come back unchanged.
        generator: CPU generator.

    Returns:
        [b, c, h, w]; bilinear, borders reflected.
    """
    import torch
    from torch.nn import functional

    n = len(pixels)
    low, high = augmentation.scale
    draws = torch.rand(4, n, generator=generator)
    if (low, high, augmentation.shift, augmentation.flip) == (1.0, 1.0, 0.0, False):
        return pixels
    zoom = 1.0 / (low + (high - low) * draws[0])
    mirror = torch.where(draws[3] < 0.5, -1.0, 1.0) if augmentation.flip else torch.ones(n)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = zoom * mirror
    theta[:, 1, 1] = zoom
    theta[:, 0, 2] = (draws[1] * 2 - 1) * augmentation.shift
    theta[:, 1, 2] = (draws[2] * 2 - 1) * augmentation.shift
    grid = functional.affine_grid(theta.to(pixels.device), list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
