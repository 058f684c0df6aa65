"""What a model gave beyond its plain outputs: predictions under attack, variances per layer, features.

Like predictions these are plain arrays that pure metric functions read; no torch is needed from here on.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from grmu_audit.records.predictions import FloatArray, IntArray

RADII = (2 / 255, 4 / 255, 8 / 255, 0.1)
"""L-infinity radii in pixel units, [0, 1]: three of the robustness literature, and the one of boundary shrink."""
RADII_OF = {"FGSM": RADII, "PGD": RADII[:3], "AA": RADII[2:3]}
"""Radii that an audit measures each attack at."""


def attack_name(kind: str, radius: float) -> str:
    """Name of the accuracy under an attack.

    >>> attack_name("FGSM", 8 / 255)
    'FGSM@0.03137'
    """
    return f"{kind}@{radius:.4g}"


ATTACKS = tuple(attack_name(kind, radius) for kind, radii in RADII_OF.items() for radius in radii)
"""Names of all attacks that an audit may measure."""


PGD_SAMPLES = 512
"""Test samples that PGD attacks, unless the caller says otherwise."""
RETURN_EPOCHS = 5
"""Epochs of fine-tuning on the retain set, unless the caller says otherwise."""
ROUNDINGS = ("int8", "int4")
"""Roundings of the weights that an audit tries."""
FINE_TUNING, MIXING = "fine-tuning", "mixing"
"""Names of what is missing where there was no fine-tuning on the retain set, and no mixing with the version before."""
PRUNED = "pruned"
"""Name of the answers after magnitude pruning."""
MIXTURES = (0.25, 0.5, 0.75)
"""Shares of a version's own weights on the straight line to the version before."""


def epoch_name(epoch: int) -> str:
    """Name of the answers after so many epochs of fine-tuning on the retain set; 0 is the version as it is.

    >>> epoch_name(3)
    'epoch 3'
    """
    return f"epoch {epoch}"


def mixture_name(share: float) -> str:
    """Name of the answers of weights that are that share the version's own, the rest those of the version before.

    >>> mixture_name(0.25)
    'mixed 0.25'
    """
    return f"mixed {share:g}"


class MissingCode(enum.StrEnum):
    """Kinds of reasons why an output is missing."""

    NOT_INSTALLED = "not_installed"
    """A package that it needs is not installed; it may be there another time."""
    NOT_APPLICABLE = "not_applicable"
    """It does not exist for this model or this data."""
    NO_TIME = "no_time"
    """It did not fit into the budget; it may another time."""


@dataclass(frozen=True)
class LayerTable:
    """Variance of the activations of each class and each group at every normalisation layer."""

    layers: tuple[str, ...]
    """Names of the layers, input to output."""
    classes: IntArray
    """[C] class indices of the columns by class."""
    groups: IntArray
    """[G] group codes (target * attributes + attribute) of the columns by group."""
    attributes: int
    """Number of attribute values that the codes were computed with."""
    counts: IntArray
    """[folds, G] samples of each fold and group; a person is in one fold only."""
    values: dict[str, FloatArray]
    """``STAT/POINT/BY`` (such as ``var/input/class``) to [layers, 1 + folds, C or G]: row 0 rests on all folds, row
    1 + f on all but fold f; NaN where a class or group has fewer than two samples."""


class Missing(NamedTuple):
    """Why an output could not be collected."""

    code: MissingCode
    """Kind of reason, which decides whether the gap is cached."""
    text: str
    """The reason, for a reader."""


@dataclass(frozen=True)
class Answers:
    """A network's answers for all samples after its weights were changed."""

    prediction: IntArray
    """[n] predicted class."""
    margin: npt.NDArray[np.float32]
    """[n] log(p_y / (1 - p_y)) of the true class."""


@dataclass(frozen=True)
class WhiteBoxOutputs:
    """What was collected of one model beyond its predictions; rows named like these."""

    ids: npt.NDArray[np.str_]
    """[n] sample names (keyed pseudonyms) of the rows below."""
    adversarial_predictions: dict[str, IntArray] = field(default_factory=dict)
    """Attack (``FGSM@0.03137``) to [n] the class predicted under it; -1 for rows that were not attacked."""
    features: npt.NDArray[np.float32] | None = None
    """[n, d] penultimate features."""
    layers: LayerTable | None = None
    """Variances per layer on the test split; None for a network without normalisation layers."""
    relearn: FloatArray | None = None
    """[runs, 1 + epochs] mean cross-entropy of the forget set while the model relearns it, before and after each epoch."""
    changed: dict[str, Answers] = field(default_factory=dict)
    """What was done to the weights (``epoch 1``, ``int8``, ``pruned``, ``mixed 0.5``; see ``evaluation.durability``) to the
    answers after it."""
    distance: float | None = None
    """Distance of the weights to those of the version before, in lengths of the latter; None for that version itself."""
    missing: dict[str, Missing] = field(default_factory=dict)
    """Outputs that could not be collected, and why."""
    settings: dict[str, Any] = field(default_factory=dict)
    """How it was collected: steps, radii, seed, precision, passes over the data."""

    @property
    def complete(self) -> bool:
        """Whether another time could not collect more: nothing is missing for want of a package or of time."""
        return all(missing.code is MissingCode.NOT_APPLICABLE for missing in self.missing.values())


Mask = npt.NDArray[np.bool_]
MIN_SHADOW_MODELS = 4
"""Shadow models below which nothing is estimated from them."""


@dataclass(frozen=True)
class ShadowTable:
    """Margins of K shadow models for n samples; models 2i and 2i + 1 were trained on complementary halves."""

    ids: npt.NDArray[np.str_]
    """[n] sample names (keyed pseudonyms)."""
    margin: FloatArray
    """[K, n] log(p_y / (1 - p_y)) of the true class."""
    member: Mask
    """[K, n] whether the model was trained on the sample."""
    population: Mask
    """[n] samples that the halves were sampled from; the others are no member of any model."""
    unlearned: FloatArray | None = None
    """[K, n] margins after each model has unlearned its members of the forget set, by the audited method."""
    forgotten: Mask | None = None
    """[K, n] whether the model was trained on the sample and then unlearned it."""
