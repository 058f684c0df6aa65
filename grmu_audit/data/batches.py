"""The one batch source: inputs held once (on the device where they fit), sampled and augmented there, per sample."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

import numpy as np
import numpy.typing as npt

from grmu_audit.data.images.transforms import to_device
from grmu_audit.data.inputs import Draws, device_inputs
from grmu_audit.data.text import pooled

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Dataset

Randomness = Union["torch.Generator", Draws]
"""A CPU generator, or what was drawn from one; None: no augmentation."""


@dataclass(frozen=True)
class Batch:
    """Samples of one step, on the device."""

    pixels: torch.Tensor
    """[b, *input_shape] inputs of any kind; images are float in [0, 1], augmented where requested."""
    target: torch.Tensor
    """[b] class index."""
    group: torch.Tensor
    """[b] group code: target * attributes + attribute."""
    rows: torch.Tensor
    """[b] row numbers in the manifest."""


def joins(rest: int, size: int) -> bool:
    """Whether the rest of a shuffled pass is so small that it joins the batch before it.

    >>> joins(1, 8), joins(2, 8), joins(7, 64), joins(8, 64)
    (True, False, True, False)
    """
    return 0 < rest < max(2, size // 8)


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
        self.rows_read: torch.Tensor | None = None
        self._places: torch.Tensor | None = None

    def record_rows(self, places: npt.NDArray[np.int64]) -> torch.Tensor:
        """Mark from now on every row that is read, whatever for.

        Args:
            places: [n] place of each row's mark; in an order that only the operator knows the marks name nobody.

        Returns:
            [n] bool marks on the CPU, by place; also ``rows_read``.
        """
        import torch

        self._places = torch.from_numpy(places)
        self.rows_read = torch.zeros(len(places), dtype=torch.bool)
        return self.rows_read

    def mark(self, rows: torch.Tensor) -> None:
        """Mark rows as read, where that is recorded: also those that another process of this training reads."""
        if self.rows_read is not None and self._places is not None:
            self.rows_read[self._places[rows.cpu()]] = True

    def take(self, rows: torch.Tensor, generator: Randomness = None) -> Batch:
        """These rows as they are; with a CPU generator, or with what was drawn from one, with the dataset's augmentation.

        Inputs are prepared in float32 whatever precision the caller computes in.
        """
        import torch

        self.mark(rows)
        index = to_device(rows, self.device) if rows.device.type == "cpu" else rows
        draws = self.inputs.draw(rows, generator) if isinstance(generator, torch.Generator) else generator
        with torch.autocast(self.device.type, enabled=False):
            inputs = self.inputs.take(rows) if draws is None else self.inputs.augmented(rows, draws)
        return Batch(inputs, self.target[index], self.group[index], index)

    @property
    def lengths(self) -> torch.Tensor | None:
        """[n] tokens of every text, on the CPU; None where all inputs have the same size."""
        found: torch.Tensor | None = getattr(self.inputs, "lengths", None)
        return found

    def by_length(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
        """Order of the rows from short to long, ties in their order; None where all inputs have the same size."""
        if self.lengths is None:
            return None
        return np.argsort(self.lengths.numpy()[rows], kind="stable").astype(np.int64)

    def batches(
        self,
        rows: npt.NDArray[np.int64],
        size: int,
        generator: torch.Generator | None = None,
        *,
        weights: npt.NDArray[np.float64] | None = None,
        augment: bool = False,
    ) -> Iterator[Batch]:
        """One pass over ``rows``, whose order and augmentation are drawn at its start.

        Args:
            rows: [n] row numbers.
            size: batch size; one batch (the last one, except of shuffled texts) holds the rest (when training, a rest of less
                than an eighth joins the batch before it, since its batch statistics say nothing, and those of one are undefined).
            generator: shuffles (and augments); None keeps the order and forbids augmentation.  Texts of like length are
                shuffled into the same batch.
            weights: [n] sampling weights; then n rows are sampled with replacement.
            augment: apply the dataset's augmentation, per sample.
        """
        import torch

        order = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        if weights is not None:
            order = order[torch.multinomial(torch.from_numpy(weights), len(order), replacement=True, generator=generator)]
        elif generator is not None:
            order = order[torch.randperm(len(order), generator=generator)]
        lengths = self.lengths
        if lengths is not None and generator is not None:
            order = pooled(order, lengths, size)
        chunks = list(torch.split(order, size))
        if generator is not None and len(chunks) > 1 and joins(len(chunks[-1]), size):
            rest = chunks.pop()
            chunks[-1] = torch.cat([chunks[-1], rest])
        if lengths is not None and generator is not None:
            chunks = [chunks[i] for i in torch.randperm(len(chunks), generator=generator).tolist()]
        draws = [self.inputs.draw(chunk, generator) if augment and generator is not None else None for chunk in chunks]
        made = (self.take(chunk, drawn) for chunk, drawn in zip(chunks, draws, strict=True))
        yield from one_ahead(made, self.device) if self.inputs.slow and len(chunks) > 1 else made


def one_ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches, each prepared by a thread of its own (on a GPU in a stream of its own) while the one before is used.

    A consumer that stops early leaves one batch prepared that nobody uses.
    """
    import torch

    stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def prepare() -> tuple[Batch | None, torch.cuda.Event | None]:
        """The next batch, and on a GPU what to wait for."""
        with torch.cuda.stream(stream):
            batch = next(batches, None)
            return batch, None if stream is None else stream.record_event()

    with ThreadPoolExecutor(1, thread_name_prefix="grmu-batches") as thread:
        coming = thread.submit(prepare)
        while True:
            batch, ready = coming.result()
            if batch is None:
                return
            coming = thread.submit(prepare)
            if ready is not None:
                ready.wait(torch.cuda.current_stream(device))
                for part in (batch.pixels, batch.target, batch.group, batch.rows):
                    part.record_stream(torch.cuda.current_stream(device))
            yield batch
