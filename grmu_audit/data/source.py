"""The one batch source: inputs held once (on the device where they fit), sampled and augmented there, per sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grmu_audit.data.augment import transform
from grmu_audit.data.inputs import device_inputs

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Dataset

__all__ = ["Batch", "BatchSource", "transform"]


@dataclass(frozen=True)
class Batch:
    """Samples of one step, on the device."""

    pixels: torch.Tensor
    """[b, *input_shape] inputs of whatever kind; images are float in [0, 1], augmented where asked for."""
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
        self.inputs = device_inputs(dataset, device)
        target = torch.from_numpy(dataset.frame["target"].to_numpy(dtype=np.int64, copy=True))
        attribute = torch.from_numpy(dataset.frame["attribute"].to_numpy(dtype=np.int64, copy=True))
        self.target = target.to(device)
        self.group = (target * self.attributes + attribute).to(device)

    def take(self, rows: torch.Tensor, generator: torch.Generator | None = None) -> Batch:
        """These rows as they are; with a CPU generator, with the dataset's augmentation."""
        index = rows.to(self.device)
        inputs = self.inputs.take(rows) if generator is None else self.inputs.augmented(rows, generator)
        return Batch(inputs, self.target[index], self.group[index], index)

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
            yield self.take(chunk, generator if augment else None)
