"""``--method auto``: which method suits a request, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError

Counts = npt.NDArray[np.int64]
WHOLE_CLASS = 0.95
"""Share of a class from which on the request counts as one for the class."""
RANDOM_REQUEST = 3.0
"""How many times the distance of a random sample counts as not random."""
SMALL_REQUEST = 0.1
"""Distance of the group mix below which a request counts as random however large it is."""


@dataclass(frozen=True)
class Route:
    """A request's kind and the method for it."""

    kind: Literal["random", "group", "class"]
    """Kind of the request."""
    method: str
    """Name of the method."""
    reweight: bool
    """Whether the retain set is sampled by REWEIGHT."""
    why: str
    """One sentence with the numbers."""


def route(train: Counts, forget: Counts, kind: str = "image") -> Route:
    """Choose by the request's group counts alone: no model is run and no evaluation read.

    - class: whole classes (at least 95 % of each) make up at least 95 % of the request: DELETE;
    - group: the request's group mix is further from the training set's than random sampling explains: shrink with REWEIGHT;
    - random: the mix is what random sampling gives: AMUN; NegGrad+ for texts, whose inputs AMUN cannot move.

    The distance is the total variation, half the sum of |share in the request - share in training|; a random sample of n
    samples has a distance of about half the sum of sqrt(2 p (1 - p) / (pi n)).

    Args:
        train: [classes, attributes] training samples.
        forget: [classes, attributes] samples to forget.
        kind: of the inputs: ``image``, ``table`` or ``text``.

    Raises:
        InputError: the request is empty or larger than the training set in some group.

    >>> route(np.array([[80, 20], [20, 80]]), np.array([[0, 0], [10, 0]])).method
    'shrink'
    """
    _check(train, forget)
    total = int(forget.sum())
    whole = [int(c) for c in np.flatnonzero(forget.sum(1) >= WHOLE_CLASS * np.maximum(train.sum(1), 1))]
    if whole and len(whole) < int((train.sum(1) > 0).sum()) and forget[whole].sum() >= WHOLE_CLASS * total:
        named = ", ".join(map(str, whole))
        return Route(
            "class", "delete", False,
            f"class request: {int(forget[whole].sum())} of {total} samples are {100 * WHOLE_CLASS:g} % or more of class {named}; "
            "DELETE redistributes a class by the original's other logits",
        )  # fmt: skip
    mix, requested = train / train.sum(), forget / total
    distance = float(np.abs(requested - mix).sum() / 2)
    expected = float(np.sqrt(2 * mix * (1 - mix) / (math.pi * total)).sum() / 2)
    numbers = (
        f"its group mix is {distance:.2f} (total variation) from the training set's; a random draw gives about {expected:.2f}"
    )
    if distance > max(SMALL_REQUEST, RANDOM_REQUEST * expected):
        return Route(
            "group",
            "shrink",
            True,
            f"group request: {numbers}; shrink trains on the retain set alone, where REWEIGHT keeps the mix",
        )
    if kind == "text":
        why = "NegGrad+ weighs them against the retain set in every step; AMUN would need inputs that can be moved a little"
        return Route("random", "neggrad_plus", False, f"random request: {numbers}; {why}")
    return Route("random", "amun", False, f"random request: {numbers}; AMUN moves the boundary only near the forgotten samples")


def _check(train: Counts, forget: Counts) -> None:
    if forget.sum() < 1:
        raise InputError("--method auto: the request is empty, so it has no kind")
    if train.shape != forget.shape or bool((forget > train).any()):
        raise InputError("--method auto: the request holds more samples of a group than the training set")
