"""PhotoDigits: real handwritten digits over real photographs, generated on the spot from what scikit-learn ships.

Target: is the digit 5 or more, or which it is.  Attribute: which of two photographs is behind it.  In training it agrees
with "5 or more" with probability ``correlation``, so that some groups are rare and a classifier is tempted to look at the
photograph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grmu_audit.data.dataset import COLUMNS, Attribute, Augmentation, Dataset, Header
from grmu_audit.errors import InputError

SIZES = {"train": 1100, "val": 200, "test": 497}
"""Digits per split; together all 1,797 of scikit-learn."""
SIDE = 32
"""Height and width of an image in pixels."""
DIGIT_SIDE = 24
"""Height and width of the rendered digit: 75 % of the side."""
PHOTOGRAPHS = ("temple photograph", "flower photograph")
"""Names of the attribute values."""
DIM = 0.6
"""Factor on the photograph's brightness."""


@dataclass(frozen=True)
class PhotoDigitsOptions:
    """What PhotoDigits is generated from."""

    seed: int = 0
    """Seed of the split, the attributes and the crops."""
    correlation: float = 0.85
    """Probability in training that the attribute equals the target, in [0.5, 1)."""
    renders: int = 4
    """How often each validation and test digit is rendered, each time on another crop; ``subject`` names the digit."""
    classes: int = 2
    """2: is the digit 5 or more; 10: which digit it is. The photograph goes with digits of 5 or more in both."""


def photodigits(options: PhotoDigitsOptions) -> Dataset:
    """Make the dataset, the same bytes for the same options.

    Args:
        options: seed, correlation, renders, classes.

    Returns:
        1,100 training images and ``renders`` x (200 + 497) validation and test images of 3 x 32 x 32 pixels.

    Raises:
        InputError: an option is out of range.

    >>> data = photodigits(PhotoDigitsOptions(renders=1))
    >>> len(data), data.pixels.shape[1:]
    (1797, (3, 32, 32))
    """
    _validate(options)
    import pandas as pd
    from sklearn.datasets import load_digits

    rng = np.random.default_rng([options.seed, 0x9D161])
    digits = load_digits()
    order = rng.permutation(len(digits.target))
    large = (digits.target >= 5).astype(np.int64)
    targets = large if options.classes == 2 else digits.target.astype(np.int64)
    photographs = _photographs()
    rows: list[tuple[str, str, int, int, int]] = []
    images: list[npt.NDArray[np.uint8]] = []
    start = 0
    for split, size in SIZES.items():
        chosen = order[start : start + size]
        start += size
        agree = options.correlation if split == "train" else 0.5
        for repeat in range(1 if split == "train" else options.renders):
            attributes = np.where(rng.random(size) < agree, large[chosen], 1 - large[chosen])
            for digit, attribute in zip(chosen.tolist(), attributes.tolist(), strict=True):
                rows.append((f"digit-{digit:04d}-{repeat}", split, int(targets[digit]), attribute, digit))
                images.append(_draw(digits.images[digit], photographs[attribute], rng))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return Dataset(header=_header(options.classes), frame=frame, pixels=np.stack(images))


def _validate(options: PhotoDigitsOptions) -> None:
    if not 0.5 <= options.correlation < 1.0:
        raise InputError(f"photodigits: correlation is {options.correlation}, must lie in [0.5, 1)")
    if not 1 <= options.renders <= 50:
        raise InputError(f"photodigits: renders is {options.renders}, must lie between 1 and 50")
    if options.classes not in (2, 10):
        raise InputError(f"photodigits: classes is {options.classes}, must be 2 or 10")
    if options.seed < 0:
        raise InputError(f"photodigits: seed is {options.seed}, must not be negative")


def _photographs() -> list[npt.NDArray[np.float64]]:
    from sklearn.datasets import load_sample_image

    return [np.asarray(load_sample_image(name), dtype=np.float64) for name in ("china.jpg", "flower.jpg")]


def _draw(digit: npt.NDArray[np.float64], photograph: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """White digit at a random place over a random crop of the dimmed photograph; [3, SIDE, SIDE]."""
    from PIL import Image

    top = int(rng.integers(0, photograph.shape[0] - SIDE + 1))
    left = int(rng.integers(0, photograph.shape[1] - SIDE + 1))
    canvas = photograph[top : top + SIDE, left : left + SIDE] * DIM
    stroke = Image.fromarray((digit / 16.0 * 255.0).round().astype(np.uint8))
    alpha = np.asarray(stroke.resize((DIGIT_SIDE, DIGIT_SIDE), Image.Resampling.BILINEAR), dtype=np.float64)[..., None] / 255.0
    y = int(rng.integers(0, SIDE - DIGIT_SIDE + 1))
    x = int(rng.integers(0, SIDE - DIGIT_SIDE + 1))
    patch = canvas[y : y + DIGIT_SIDE, x : x + DIGIT_SIDE]
    canvas[y : y + DIGIT_SIDE, x : x + DIGIT_SIDE] = patch * (1.0 - alpha) + 255.0 * alpha
    image: npt.NDArray[np.uint8] = canvas.round().clip(0, 255).astype(np.uint8).transpose(2, 0, 1)
    return image


def _header(classes: int) -> Header:
    return Header(
        name="photodigits",
        version="1",
        class_names=("digit 0-4", "digit 5-9") if classes == 2 else tuple(f"digit {digit}" for digit in range(10)),
        attribute_names=PHOTOGRAPHS,
        image_size=(3, SIDE, SIDE),
        augmentation=Augmentation(scale=(0.8, 1.15), shift=0.25),
        target_name="digit",
        attributes=(Attribute("photograph", PHOTOGRAPHS),),
        subject_name="digit drawn",
        source="scikit-learn: 1,797 handwritten digits (UCI optical recognition, test part) and two sample photographs",
        licence="digits: CC BY 4.0; photographs: CC BY (china.jpg, flower.jpg, as shipped with scikit-learn)",
        attribute_provenance="drawn at random when the image is made, so exact by construction",
    )
