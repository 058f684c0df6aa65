"""The one batch source: pixels held once (on the device where they fit), sampled and augmented there, per sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Augmentation, Dataset


@dataclass(frozen=True)
class Batch:
    """Samples of one step, on the device."""

    pixels: torch.Tensor
    """[b, channels, height, width] float in [0, 1], augmented where asked for."""
    target: torch.Tensor
    """[b] class index."""
    group: torch.Tensor
    """[b] group code: target * attributes + attribute."""
    rows: torch.Tensor
    """[b] row numbers in the manifest."""


class BatchSource:
    """Serves batches of one dataset on one device.

    Order, sampling and augmentation come from a generator on the CPU that the caller seeds, so that the same seed
    gives the same batches on every device.
    """

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        import torch

        self.device = device
        self.dataset = dataset
        self.classes = len(dataset.header.class_names)
        self.attributes = len(dataset.header.attribute_names)
        self.groups = self.classes * self.attributes
        self._pixels = torch.from_numpy(dataset.pixels).to(device)
        target = torch.from_numpy(dataset.frame["target"].to_numpy(dtype=np.int64, copy=True))
        attribute = torch.from_numpy(dataset.frame["attribute"].to_numpy(dtype=np.int64, copy=True))
        self.target = target.to(device)
        self.group = (target * self.attributes + attribute).to(device)

    def take(self, rows: torch.Tensor) -> Batch:
        """These rows as they are, without augmentation."""
        index = rows.to(self.device)
        return Batch(self._pixels[index].float().div_(255.0), self.target[index], self.group[index], index)

    def batches(
        self,
        rows: npt.NDArray[np.int64],
        size: int,
        generator: torch.Generator | None = None,
        *,
        weights: npt.NDArray[np.float64] | None = None,
        augment: bool = False,
    ) -> Iterator[Batch]:
        """One pass over ``rows``.

        Args:
            rows: [n] row numbers.
            size: batch size; the last batch holds the rest (a rest of one joins the batch before it when
                training, since batch statistics of one sample are undefined).
            generator: shuffles (and augments); None keeps the order and forbids augmentation.
            weights: [n] sampling weights; then n rows are drawn with replacement.
            augment: apply the dataset's augmentation, per sample.
        """
        import torch

        order = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        if weights is not None:
            order = order[torch.multinomial(torch.from_numpy(weights), len(order), replacement=True, generator=generator)]
        elif generator is not None:
            order = order[torch.randperm(len(order), generator=generator)]
        chunks = list(torch.split(order, size))
        if generator is not None and len(chunks) > 1 and len(chunks[-1]) == 1:
            rest = chunks.pop()
            chunks[-1] = torch.cat([chunks[-1], rest])
        for chunk in chunks:
            batch = self.take(chunk)
            if augment and generator is not None:
                pixels = transform(batch.pixels, self.dataset.header.augmentation, generator)
                batch = Batch(pixels, batch.target, batch.group, batch.rows)
            yield batch


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
