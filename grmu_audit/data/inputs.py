"""Inputs on the device: what a batch is taken from, by the kind of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Union

import numpy as np
import numpy.typing as npt

from grmu_audit.data.images.store import ImageStore
from grmu_audit.data.images.transforms import (
    Windows,
    crop_windows,
    cut_batch,
    cut_each,
    draw_transform,
    still_windows,
    to_device,
    transform,
)
from grmu_audit.data.text import TokenInputs
from grmu_audit.errors import InputError

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Dataset

GPU_SHARE = 0.6
"""Share of the GPU's free memory that decoded images may take."""
PIECE = 256 << 20
"""Bytes that are copied to the GPU at a time."""
Draws = Union[Windows, "torch.Tensor", None]
"""The training randomness of some rows, drawn before they are read; None where there is none."""


class DeviceInputs(Protocol):
    """Gives the inputs of rows on the device; the batch source decides order and sampling.

    ``rows`` may lie on the CPU or on the device.
    """

    slow: bool
    """Whether preparing a batch takes so long that the next one is prepared while a step runs."""

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """[b, *input_shape] as a model wants them: images float in [0, 1], tables raw floats (a model normalises inside)."""
        ...

    def draw(self, rows: torch.Tensor, generator: torch.Generator) -> Draws:
        """The training randomness of these rows, sampled for each sample separately from a CPU generator."""
        ...

    def augmented(self, rows: torch.Tensor, draws: Draws) -> torch.Tensor:
        """As ``take``, with that randomness."""
        ...


class ImageArray:
    """Images of one size in one uint8 array, held on the device."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        import torch

        self._augmentation = dataset.header.augmentation
        self._pixels = torch.from_numpy(np.asarray(dataset.pixels)).to(device)
        self.slow = device.type != "cpu"

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """[b, channels, height, width] in [0, 1]."""
        return self._pixels[rows.to(self._pixels.device)].float().div_(255.0)

    def draw(self, rows: torch.Tensor, generator: torch.Generator) -> Draws:
        """Numbers of ``draw_transform``."""
        return draw_transform(len(rows), generator)

    def augmented(self, rows: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Random zoom, shift and mirror."""
        return self.take(rows) if draws is None else transform(self.take(rows), self._augmentation, draws)  # type: ignore[arg-type]


class Table:
    """Rows of floats, held on the device; there is nothing to augment."""

    slow = False

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        import torch

        self._values = torch.from_numpy(np.asarray(dataset.pixels, dtype=np.float32)).to(device)

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """[b, features]."""
        return self._values[rows.to(self._values.device)]

    def draw(self, rows: torch.Tensor, generator: torch.Generator) -> None:
        """Nothing: tables are not augmented."""

    def augmented(self, rows: torch.Tensor, draws: object) -> torch.Tensor:
        """[b, features], unchanged."""
        return self.take(rows)


class ImageFiles:
    """Images of any size in an ``ImageStore``: cut and resized per sample, held on a GPU where they fit."""

    slow = True

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        header = dataset.header
        self._store: ImageStore = dataset.pixels  # type: ignore[assignment]
        self._device = device
        self._header = header
        self._out = (header.image_size[1], header.image_size[2])
        self._sizes = np.stack([self._store.heights, self._store.widths], 1)
        self._held = _on_gpu(self._store, device)

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """[b, 3, height, width] in [0, 1], as in validation and test."""
        index = rows.cpu().numpy()
        if self._store.still is not None:
            return self._finished(self._store.still, index)
        return self._cut(index, still_windows(self._sizes[index], self._header.view, self._out))

    def draw(self, rows: torch.Tensor, generator: torch.Generator) -> Draws:
        """Windows of random resized crops; without a crop, numbers of ``draw_transform``."""
        augmentation = self._header.augmentation
        if augmentation.area is None:
            return draw_transform(len(rows), generator)
        return crop_windows(self._sizes[rows.cpu().numpy()], augmentation, generator)

    def augmented(self, rows: torch.Tensor, draws: Draws) -> torch.Tensor:
        """A random resized crop of each image, mirrored where the augmentation says so; without a crop, zoom and shift."""
        if isinstance(draws, Windows):
            return self._cut(rows.cpu().numpy(), draws)
        return self.take(rows) if draws is None else transform(self.take(rows), self._header.augmentation, draws)

    def _finished(self, still: ImageStore, index: npt.NDArray[np.int64]) -> torch.Tensor:
        import torch

        pixels = torch.from_numpy(np.stack([still[int(i)] for i in index])).to(self._device)
        return pixels.permute(0, 3, 1, 2).float().div_(255.0)

    def _cut(self, index: npt.NDArray[np.int64], windows: Windows) -> torch.Tensor:
        if self._held is None:
            self._store.expect(index)
        how = self._header.view.interpolation
        if self._device.type == "cpu":
            return cut_each([self._store[int(i)] for i in index], windows, self._out, how).float().div_(255.0)
        return cut_batch(self._padded(index), windows, self._out, how)

    def _padded(self, index: npt.NDArray[np.int64]) -> torch.Tensor:
        """[b, height, width, 3] uint8 on the device, each image in the upper left corner; what is beyond it is of no image."""
        import torch

        starts, stops = self._store.offsets[index], self._store.offsets[index + 1]
        if self._held is None:
            spans = zip(starts.tolist(), stops.tolist(), strict=True)
            flat = to_device(torch.from_numpy(np.concatenate([self._store.data[a:b] for a, b in spans])), self._device)
            starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(stops - starts)[:-1]])
        else:
            flat = self._held
        heights, widths = self._sizes[index].T
        first, height, width = to_device(torch.from_numpy(np.stack([starts // 3, heights, widths])), flat.device)[
            :, :, None, None
        ]
        row = torch.arange(int(heights.max()), device=flat.device)[None, :, None]
        column = torch.arange(int(widths.max()), device=flat.device)[None, None]
        place = torch.where((row < height) & (column < width), first + row * width + column, 0)
        return flat.view(-1, 3)[place]


def _on_gpu(store: ImageStore, device: torch.device) -> torch.Tensor | None:
    """All pixels on the GPU where they take at most ``GPU_SHARE`` of its free memory, else None."""
    import torch

    if device.type != "cuda" or len(store.data) > GPU_SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    held = torch.empty(len(store.data), dtype=torch.uint8, device=device)
    for start in range(0, len(store.data), PIECE):
        held[start : start + PIECE] = torch.from_numpy(store.data[start : start + PIECE].copy()).to(device)
    return held


Builder = Callable[["Dataset", "torch.device"], DeviceInputs]


def device_inputs(dataset: Dataset, device: torch.device) -> DeviceInputs:
    """The inputs of a dataset on a device, by its kind and by how it stores them.

    Raises:
        InputError: nothing is known that serves this kind.
    """
    images: Builder = ImageFiles if isinstance(dataset.pixels, ImageStore) else ImageArray
    builders: dict[str, Builder] = {"image": images, "table": Table, "text": TokenInputs}
    if dataset.header.kind not in builders:
        raise InputError(f"dataset {dataset.header.name!r} is of kind {dataset.header.kind!r}; known: {', '.join(builders)}")
    return builders[dataset.header.kind](dataset, device)
