"""Variance of every class and group at every normalisation layer, in one pass and in memory for cells, not samples.

Sums over the positions of a sample are taken in float32 (PyTorch adds by halves, so that errors do not grow with their number)
about the sample's own mean; samples are merged into cells, and batches into totals, in float64 (Chan, Golub, LeVeque 1983).
A batch normalisation in eval mode is one scale and one shift for each channel: the moments after it follow from those before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from grmu_audit.data.batches import BatchSource
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.normalisation import MIN_SAMPLES, channel_dimension, evaluating, normalisation_layers
from grmu_audit.records.white_box import LayerTable

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
MOST = 512
"""Most samples of a batch."""
FOLDS = 20
"""Folds of people that are left out in turn, for standard errors."""
STATS = ("var", "std")
POINTS = ("input", "output")
_CHUNK = 1 << 18


class Moments:
    """Count, mean and sum of squared deviations per cell and channel, merged batch by batch (Chan, Golub, LeVeque 1983).

    Args:
        cells: number of cells.

    >>> moments = Moments(1)
    >>> moments.add(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]), 1)
    >>> moments.add(torch.tensor([[5.0]]), torch.tensor([0]), 1)
    >>> count, mean, squares = moments.arrays()
    >>> count.tolist(), mean.tolist(), squares.tolist()
    ([3.0], [[3.0]], [[8.0]])
    """

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self._count: torch.Tensor | None = None
        self._mean = self._squares = torch.empty(0)

    def add(self, activations: torch.Tensor, cell: torch.Tensor, channel: int) -> None:
        """Take in a batch.

        Args:
            activations: [n, ...]; the variance runs over samples and all positions.
            cell: [n] cell of each sample.
            channel: dimension that holds the channels.
        """
        plain = activations.detach()
        rows = plain.movedim(channel, -1).flatten(1, -2) if plain.dim() > 2 else plain.unsqueeze(1)
        positions = rows.shape[1]
        mean, within = _within_samples(rows)
        count = positions * torch.bincount(cell, minlength=self.cells).double()
        centre = self._sum(mean * positions, cell) / count.clamp_min(1).unsqueeze(1)
        squares = self._sum(within + positions * (mean - centre[cell]).square(), cell)
        self._merge(count, centre, squares)

    def _sum(self, values: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
        empty = torch.zeros(self.cells, values.shape[1], dtype=torch.double, device=values.device)
        return empty.index_add_(0, cell, values)

    def _merge(self, count: torch.Tensor, mean: torch.Tensor, squares: torch.Tensor) -> None:
        if self._count is None:
            self._count, self._mean, self._squares = count, mean, squares
            return
        total = (self._count + count).clamp_min(1).unsqueeze(1)
        apart, share = mean - self._mean, count.unsqueeze(1)
        self._squares = self._squares + squares + apart.square() * self._count.unsqueeze(1) * share / total
        self._mean = self._mean + apart * share / total
        self._count = self._count + count

    def scaled(self, scale: torch.Tensor, shift: torch.Tensor) -> Moments:
        """The moments after every channel was multiplied and shifted."""
        moved = Moments(self.cells)
        if self._count is not None:
            moved._count, moved._mean, moved._squares = self._count, self._mean * scale + shift, self._squares * scale.square()
        return moved

    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """[cells] count, [cells, channels] mean, [cells, channels] sum of squared deviations."""
        if self._count is None:
            return np.zeros(self.cells), np.zeros((self.cells, 1)), np.zeros((self.cells, 1))
        return self._count.cpu().numpy(), self._mean.cpu().numpy(), self._squares.cpu().numpy()


def _within_samples(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[n, channels] mean over positions, and sum of squared deviations from it, of [n, positions, channels]; in float64.

    Few samples at a time, so that their deviations fit into a processor's cache.
    """
    if rows.shape[1] == 1:
        mean = rows[:, 0].double()
        return mean, torch.zeros_like(mean)
    means, squares = [], []
    for part in torch.split(rows, max(1, _CHUNK // max(rows[0].numel(), 1))):
        exact = part if part.dtype == torch.double else part.float()
        mean = exact.mean(1, keepdim=True)
        apart = exact - mean
        squares.append(apart.square_().sum(1))
        means.append(mean[:, 0])
    return torch.cat(means).double(), torch.cat(squares).double()


def folds_of(subject: Ints, most: int = FOLDS) -> Ints:
    """[n] fold of each sample: people are assigned in turn, so that all samples of one lie together.

    >>> folds_of(np.array([7, 8, 7, 9]), 2).tolist()
    [0, 1, 0, 0]
    """
    order = np.unique(subject, return_inverse=True)[1]
    return np.asarray(order % min(most, max(int(order.max(initial=0)) + 1, 2)), dtype=np.int64)


def layer_table(model: Classifier, source: BatchSource, rows: Ints, fold: Ints, size: int | None = None) -> LayerTable | None:
    """One pass over ``rows`` in eval mode; None for a network without normalisation layers.

    Args:
        model: on the source's device; modes and running statistics come back as they were.
        source: the data.
        rows: [n] of the dataset.
        fold: [n] fold of each row.
        size: batch size; None: what fits the size of an input.
    """
    names = normalisation_layers(model)
    if not names:
        return None
    group = source.group.cpu().numpy()[rows]
    codes, position = np.unique(group, return_inverse=True)
    folds = int(fold.max(initial=0)) + 1
    cell = torch.from_numpy(fold * len(codes) + position).to(source.device)
    modules = dict(model.named_modules())
    scales = {name: _scale_and_shift(modules[name]) for name in names}
    watched = [(name, point) for name in names for point in POINTS if point == POINTS[0] or scales[name] is None]
    found = {key: Moments(folds * len(codes)) for key in watched}
    start = 0
    with torch.no_grad(), evaluating(model):
        for batch in source.batches(rows, size or model.spec.batch_size(MOST)):
            with _watched(modules, found, cell[start : start + len(batch.rows)]):
                model(batch.pixels)
            start += len(batch.rows)
    found |= {(name, POINTS[1]): found[name, POINTS[0]].scaled(*scale) for name, scale in scales.items() if scale is not None}
    counts = np.bincount(fold * len(codes) + position, minlength=folds * len(codes)).reshape(folds, len(codes))
    return _table(names, found, codes.astype(np.int64), counts.astype(np.int64), source.attributes)


def _scale_and_shift(layer: nn.Module) -> tuple[torch.Tensor, torch.Tensor] | None:
    """[channels] factors and offsets of a batch normalisation with running statistics; None for any other layer."""
    if not isinstance(layer, nn.modules.batchnorm._BatchNorm) or layer.running_mean is None or layer.running_var is None:
        return None
    scale = (layer.running_var.detach().double() + layer.eps).rsqrt()
    if layer.weight is not None:
        scale = scale * layer.weight.detach().double()
    shift = -layer.running_mean.detach().double() * scale
    return scale, shift if layer.bias is None else shift + layer.bias.detach().double()


@contextmanager
def _watched(modules: dict[str, nn.Module], found: dict[tuple[str, str], Moments], cell: torch.Tensor) -> Iterator[None]:
    """Take in what goes into and comes out of the layers, as far as it is asked for, while the context lasts."""

    def watch(name: str) -> Any:
        """A hook that takes in the points of a layer."""

        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            """Reduce at once: no activation is stored."""
            for point, values in zip(POINTS, (inputs[0], output), strict=True):
                if (name, point) in found:
                    found[name, point].add(values, cell, channel_dimension(module))

        return hook

    handles = [modules[name].register_forward_hook(watch(name)) for name in dict.fromkeys(name for name, _ in found)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _table(names: Sequence[str], found: dict[tuple[str, str], Moments], codes: Ints, counts: Ints, attributes: int) -> LayerTable:
    classes, of_class = np.unique(codes // attributes, return_inverse=True)
    values: dict[str, list[Floats]] = {}
    for name in names:
        for point in POINTS:
            count, mean, squares = found[name, point].arrays()
            shaped = count.reshape(counts.shape), mean.reshape(*counts.shape, -1), squares.reshape(*counts.shape, -1)
            for key, column in _columns(*shaped, counts, of_class).items():
                values.setdefault(f"{key[0]}/{point}/{key[1]}", []).append(column)
    stacked = {key: np.stack(columns) for key, columns in values.items()}
    return LayerTable(tuple(names), classes.astype(np.int64), codes, attributes, counts, stacked)


def _columns(count: Floats, mean: Floats, squares: Floats, people: Ints, of_class: Ints) -> dict[tuple[str, str], Floats]:
    """[1 + folds, columns] of one layer and point, by statistic and by class or group."""
    folds = len(count)
    groupings = {"class": of_class, "group": np.arange(count.shape[1])}
    out: dict[tuple[str, str], list[Floats]] = {}
    for left_out in range(-1, folds):
        kept = np.arange(folds) != left_out
        for by, index in groupings.items():
            enough = np.bincount(index, weights=people[kept].sum(0)) >= MIN_SAMPLES
            variance = _pooled(count[kept], mean[kept], squares[kept], index)
            for stat in STATS:
                shown = (np.sqrt(variance) if stat == "std" else variance).mean(-1)
                out.setdefault((stat, by), []).append(np.where(enough, shown, np.nan))
    return {key: np.stack(rows) for key, rows in out.items()}


def _pooled(count: Floats, mean: Floats, squares: Floats, index: npt.NDArray[Any]) -> Floats:
    """[columns, channels] population variance of the cells of each column, merged."""
    columns = int(index.max()) + 1
    result = np.zeros((columns, mean.shape[-1]))
    for column in range(columns):
        chosen = index == column
        n = count[:, chosen, None]
        total = max(float(n.sum()), 1.0)
        centre = (n * mean[:, chosen]).sum((0, 1)) / total
        result[column] = (squares[:, chosen] + n * (mean[:, chosen] - centre) ** 2).sum((0, 1)) / total
    return result
