"""Compares the accuracy of a checkpoint with the one that its owner measured, and finds how its inputs were probably prepared."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset, Header
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime

Rows = npt.NDArray[np.int64]
SMALLEST_TOLERANCE = 0.001
"""A tenth of a point."""
MOST_ROWS = 500
"""Rows that other ways of preparing inputs are tried on."""
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pixels, per channel."""


@dataclass(frozen=True)
class ExpectedAccuracy:
    """What the owner of a checkpoint measured."""

    value: float
    """In [0, 1]."""
    tolerance: float
    """Half a unit of its last digit, at least ``SMALLEST_TOLERANCE``."""


def expected_accuracy(text: str) -> ExpectedAccuracy:
    """An accuracy as people write it.

    Raises:
        InputError: the text is not an accuracy.

    >>> expected_accuracy("0.98"), expected_accuracy("97.96 %").tolerance
    (ExpectedAccuracy(value=0.98, tolerance=0.005), 0.001)
    """
    match = re.fullmatch(r"(\d{1,3}(?:\.(\d+))?)\s*(%?)", text.strip())
    scale = 100.0 if match and match[3] else 1.0
    if match is None or not (match[2] or match[3]) or float(match[1]) / scale > 1:  # "1" alone would tolerate 0.5
        raise InputError(f"--expect-accuracy {text!r} is not a share with decimals or a percentage: write 0.98 or 98%")
    unit = 10.0 ** -len(match[2] or "") / scale
    return ExpectedAccuracy(float(match[1]) / scale, max(SMALLEST_TOLERANCE, unit / 2))


def require_agreement(model: Classifier, dataset: Dataset, expected: ExpectedAccuracy, runtime: Runtime) -> None:
    """Return when the checkpoint's accuracy on the test rows (else the validation rows) is what its owner measured.

    Raises:
        InputError: it is not; the message says with which other preparation of the inputs it would be nearest.
    """
    split = "test" if len(dataset.rows("test")) else "val"
    rows = dataset.rows(split)
    found = _accuracy(model, dataset, rows, runtime)
    if abs(found - expected.value) <= expected.tolerance:
        return
    raise InputError(
        f"{split} accuracy is {100 * found:.2f} % (n = {len(rows)}), its owner states {100 * expected.value:.6g} %: nothing was "
        f"registered. {_advice(model, dataset, rows, expected, runtime)}"
    )


def _accuracy(model: Classifier, dataset: Dataset, rows: Rows, runtime: Runtime) -> float:
    """Of the model under the dataset's own preparation of inputs."""
    import torch

    from grmu_audit.data.batches import BatchSource
    from grmu_audit.training.inference import accuracy

    source, kept = BatchSource(dataset, runtime.device), (model.mean, model.std)
    model.mean, model.std = (
        torch.tensor(values, device=runtime.device).view(old.shape)
        for values, old in zip((dataset.header.mean, dataset.header.std), kept, strict=True)
    )
    try:
        return accuracy(model, source, rows, runtime)
    finally:
        model.mean, model.std = kept


def _advice(model: Classifier, dataset: Dataset, rows: Rows, expected: ExpectedAccuracy, runtime: Runtime) -> str:
    """The nearest of the usual ways to prepare an image, or what else to compare."""
    few = rows[np.random.default_rng(0).permutation(len(rows))[:MOST_ROWS]]
    tried = [
        (abs(_accuracy(model, replace(dataset, header=header), few, runtime) - expected.value), words, header)
        for words, header in _alternatives(dataset.header)
    ]
    if not tried:
        return "Compare the order of classes and columns, the rows of the split, and the preparation of inputs (--preprocess)"
    _, words, header = min(tried, key=lambda one: one[0])
    accuracy = _accuracy(model, replace(dataset, header=header), few, runtime)
    return (
        f"The inputs are probably prepared in another way. Nearest of {len(tried)} that were tried on {len(few)} rows, with "
        f"{100 * accuracy:.1f} %: --preprocess FILE with {{{words}}}"
    )


def _alternatives(header: Header) -> Iterator[tuple[str, Header]]:
    """Usual ways to prepare an image: normalisations, and where the image is resized, three views."""
    from grmu_audit.data.dataset import Framing

    if header.kind != "image":
        return
    height, width = header.image_size[1:]
    channels, shorter = header.image_size[0], round(max(height, width) * 256 / 224)
    scalings = [(header.mean, header.std), ((0.5,) * channels, (0.5,) * channels), ((0.0,) * channels, (1.0,) * channels)]
    scalings += [IMAGENET] if channels == 3 else []
    views = [(header.view, "")]
    if header.view.mode != "as-is":
        views = [(replace(header.view, mode="stretch", shorter=0, exact=False), "resize: stretch, ")]
        views += [
            (Framing("crop", side, header.view.interpolation, header.view.upright), f"resize: {side}, ")
            for side in (max(height, width), shorter)
        ]
    for (mean, std), (view, words) in itertools.product(scalings, views):
        size = f"size: {height}, " if words and height == width else f"size: [{height}, {width}], " if words else ""
        numbers = f"mean: [{', '.join(f'{v:g}' for v in mean)}], std: [{', '.join(f'{v:g}' for v in std)}]"
        yield f"{size}{words}{numbers}", replace(header, mean=mean, std=std, view=view)
