"""From decoded images of any size to inputs: windows cut out and resized, for each sample by itself, with antialiasing.

Two ways that give the same pixels up to rounding: on a CPU, torch's uint8 resize image by image; on a GPU, two batched
matrix products whose rows are the triangle filters of that resize (a separable linear map, so any window, size, padding and
mirror image fit into one call).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grmu_audit.data.images.decode import workers

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.dataset import Augmentation, Framing

ATTEMPTS = 10
"""Draws of a random resized crop before its fallback, as in torchvision."""


@dataclass(frozen=True)
class Windows:
    """What of each of b images becomes the input; rows are images, in pixels of the image.

    Pixels inside ``low`` to ``high`` may be read, and ``start`` to ``stop`` is stretched to the output: for a crop the two are
    the same, for a resize that is cropped afterwards the filter may read beyond the crop.
    """

    low: npt.NDArray[np.float64]
    """[b, 2] first row and column that may be read."""
    high: npt.NDArray[np.float64]
    """[b, 2] end of them."""
    start: npt.NDArray[np.float64]
    """[b, 2] where the output begins."""
    stop: npt.NDArray[np.float64]
    """[b, 2] where it ends."""
    mirror: npt.NDArray[np.bool_]
    """[b] whether the output is mirrored."""


def still_windows(sizes: npt.NDArray[np.int64], view: Framing, out: tuple[int, int]) -> Windows:
    """The windows without randomness: the whole image, or the centre of the image resized by its shorter side.

    Args:
        sizes: [b, 2] heights and widths.
        view: how an image becomes an input.
        out: height and width of the input.
    """
    whole = sizes.astype(np.float64)
    zero = np.zeros_like(whole)
    never = np.zeros(len(sizes), dtype=bool)
    if view.mode != "crop":
        return Windows(zero, whole, zero, whole, never)
    resized = resized_sizes(sizes, view.shorter)
    factor = whole / resized
    start = np.array([[round((r - o) / 2.0) for r, o in zip(row, out, strict=True)] for row in resized.tolist()]) * factor
    return Windows(zero, whole, start, start + np.array(out) * factor, never)


def resized_sizes(sizes: npt.NDArray[np.int64], shorter: int) -> npt.NDArray[np.int64]:
    """[b, 2] after a resize by the shorter side; the longer one is rounded down, as in torchvision.

    >>> resized_sizes(np.array([[375, 500]]), 256).tolist()
    [[256, 341]]
    """
    short = sizes.min(1, keepdims=True)
    return np.where(sizes == short, shorter, (shorter * sizes) // short)


def crop_windows(sizes: npt.NDArray[np.int64], augmentation: Augmentation, generator: torch.Generator) -> Windows:
    """Random resized crops, distributed as torchvision's ``RandomResizedCrop``, and mirror images.

    For each image: an area share uniform in ``area``, an aspect uniform in its logarithm, a place uniform among those that fit;
    ten draws, then the centre with the nearest allowed aspect.
    """
    import torch

    b = len(sizes)
    draws = torch.rand(4, ATTEMPTS, b, generator=generator, dtype=torch.float64).numpy()
    flips = torch.rand(b, generator=generator, dtype=torch.float64).numpy()
    low, high = augmentation.area or (1.0, 1.0)
    height, width = sizes[:, 0].astype(np.float64), sizes[:, 1].astype(np.float64)
    area = height * width * (low + (high - low) * draws[0])
    log_low, log_high = np.log(augmentation.aspect)
    aspect = np.exp(log_low + (log_high - log_low) * draws[1])
    w, h = np.round(np.sqrt(area * aspect)), np.round(np.sqrt(area / aspect))
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first, columns = fits.argmax(0), np.arange(b)
    h, w = h[first, columns], w[first, columns]
    top = np.floor(draws[2][first, columns] * (height - h + 1))
    left = np.floor(draws[3][first, columns] * (width - w + 1))
    start, shape = np.stack([top, left], 1), np.stack([h, w], 1)
    missed = ~fits.any(0)
    if missed.any():
        shape[missed] = _central(sizes[missed].astype(np.float64), augmentation.aspect)
        start[missed] = np.floor((sizes[missed] - shape[missed]) / 2)
    mirror = (flips < 0.5) if augmentation.flip else np.zeros(b, dtype=bool)
    return Windows(start, start + shape, start, start + shape, mirror)


def _central(sizes: npt.NDArray[np.float64], aspect: tuple[float, float]) -> npt.NDArray[np.float64]:
    """[b, 2] the largest central window of an allowed aspect."""
    height, width = sizes[:, 0], sizes[:, 1]
    ratio = width / height
    h = np.where(ratio < aspect[0], np.round(width / aspect[0]), height)
    w = np.where(ratio > aspect[1], np.round(height * aspect[1]), width)
    return np.stack([h, w], 1)


def cut_each(
    images: Sequence[npt.NDArray[np.uint8]], windows: Windows, out: tuple[int, int], interpolation: str = "bilinear"
) -> torch.Tensor:
    """[b, 3, *out] uint8 on the CPU, image by image in a few threads, by torch's antialiased uint8 resize."""
    import torch

    result = torch.empty((len(images), 3, *out), dtype=torch.uint8, memory_format=torch.channels_last)

    def some(indices: range) -> None:
        for index in indices:
            result[index] = _cut(images[index], windows, index, out, interpolation)

    threads = min(workers(), len(images) // 4 or 1)
    if threads == 1:
        some(range(len(images)))
    else:
        list(_pool().map(some, [range(start, len(images), threads) for start in range(threads)]))
    return result


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers(), thread_name_prefix="grmu-images")


def _cut(image: npt.NDArray[np.uint8], windows: Windows, index: int, out: tuple[int, int], interpolation: str) -> torch.Tensor:
    """[3, *out] of one image."""
    import torch

    low, high = windows.low[index], windows.high[index]
    (y0, x0), (y1, x1) = low.astype(int), high.astype(int)
    pixels = torch.from_numpy(image[y0:y1, x0:x1].copy()).permute(2, 0, 1)[None]
    size = (high - low) * np.array(out) / (windows.stop[index] - windows.start[index])
    resized = _resize(pixels, (round(size[0]), round(size[1])), interpolation)
    factor = np.array(resized.shape[2:]) / (high - low)
    top, left = np.round((windows.start[index] - low) * factor).astype(int)
    piece = resized[0, :, top : top + out[0], left : left + out[1]]
    return piece.flip(2) if windows.mirror[index] else piece


def _resize(pixels: torch.Tensor, size: tuple[int, int], interpolation: str) -> torch.Tensor:
    from torch.nn import functional

    if tuple(pixels.shape[2:]) == size:
        return pixels
    return functional.interpolate(pixels, size=size, mode=interpolation, antialias=True)


def cut_batch(pixels: torch.Tensor, windows: Windows, out: tuple[int, int], interpolation: str = "bilinear") -> torch.Tensor:
    """[b, 3, *out] float in [0, 1] on the device of ``pixels``, all images in two matrix products.

    Args:
        pixels: [b, height, width, 3] uint8, padded to one size; what is outside a window is never read.
        windows: what to cut.
        out: height and width of the input.
        interpolation: ``bilinear`` or ``bicubic``.
    """
    import torch

    device, kernel = pixels.device, _cubic if interpolation == "bicubic" else _triangle
    edges = np.stack([windows.low, windows.high, windows.start, windows.stop]).astype(np.float32)
    low, high, start, stop = to_device(torch.from_numpy(edges), device)
    rows = _filters((low[:, 0], high[:, 0], start[:, 0], stop[:, 0]), pixels.shape[1], out[0], kernel)
    columns = _filters((low[:, 1], high[:, 1], start[:, 1], stop[:, 1]), pixels.shape[2], out[1], kernel)
    mirror = to_device(torch.from_numpy(windows.mirror), device)
    columns = torch.where(mirror[:, None, None], columns.flip(1), columns)
    planes = pixels.permute(0, 3, 1, 2).float()
    result = rows[:, None] @ planes @ columns.transpose(1, 2)[:, None]
    return result.div_(255.0).clamp_(0.0, 1.0)


def _triangle(x: torch.Tensor) -> torch.Tensor:
    """The filter of a bilinear resize, in place."""
    return x.neg_().add_(1.0).clamp_min_(0.0)


def _cubic(x: torch.Tensor) -> torch.Tensor:
    """Keys' kernel with a = -0.5, as in Pillow."""
    near, far = (1.5 * x - 2.5) * x * x + 1.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return near.where(x < 1, far.where(x < 2, x.new_zeros(())))


def _filters(
    edges: tuple[torch.Tensor, ...], length: int, out: int, kernel: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """[b, out, length] weights of each source row (or column) in each output row, in float32; rows sum to 1.

    Args:
        edges: [b] low, high, start and stop of ``Windows`` along the axis, on the device.
        length: pixels of the source.
        out: pixels of the output.
        kernel: weight at a distance of x (non-negative) output pixels.
    """
    import torch

    low, high, start, stop = edges
    scale = (stop - start) / out
    centre = start[:, None] + (torch.arange(out, device=low.device) + 0.5) * scale[:, None]
    source = torch.arange(length, device=low.device) + 0.5
    weight = kernel((source - centre[:, :, None]).abs_().div_(scale.clamp_min(1.0)[:, None, None]))
    weight.mul_(((source > low[:, None]) & (source < high[:, None]))[:, None])
    return weight.div_(weight.sum(2, keepdim=True))


def to_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A copy on the device that the host does not wait for; on a CPU the values themselves."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values


def draw_transform(count: int, generator: torch.Generator) -> torch.Tensor:
    """[4, count] uniform numbers that ``transform`` turns into zoom, shifts and mirror images."""
    import torch

    return torch.rand(4, count, generator=generator)


def transform(pixels: torch.Tensor, augmentation: Augmentation, draws: torch.Tensor) -> torch.Tensor:
    """Random zoom, shift and mirror, sampled for each sample separately.

    Args:
        pixels: [b, c, h, w] in [0, 1].
        augmentation: ranges; with the neutral ones the pixels come back unchanged.
        draws: [4, b] of ``draw_transform``, on the CPU.

    Returns:
        [b, c, h, w]; bilinear, borders reflected.
    """
    import torch
    from torch.nn import functional

    n = len(pixels)
    low, high = augmentation.scale
    if (low, high, augmentation.shift, augmentation.flip) == (1.0, 1.0, 0.0, False):
        return pixels
    zoom = 1.0 / (low + (high - low) * draws[0])
    mirror = torch.where(draws[3] < 0.5, -1.0, 1.0) if augmentation.flip else torch.ones(n)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = zoom * mirror
    theta[:, 1, 1] = zoom
    theta[:, 0, 2] = (draws[1] * 2 - 1) * augmentation.shift
    theta[:, 1, 2] = (draws[2] * 2 - 1) * augmentation.shift
    grid = functional.affine_grid(to_device(theta, pixels.device), list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
