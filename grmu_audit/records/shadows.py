"""What a pool of shadow models says of every sample: plain arrays that the attacks read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grmu_audit.records.predictions import FloatArray

Mask = npt.NDArray[np.bool_]


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
    """[n] samples that the halves were drawn from; the others are no member of any model."""
    unlearned: FloatArray | None = None
    """[K, n] margins after each model has unlearned its members of the forget set, by the audited method."""
    forgotten: Mask | None = None
    """[K, n] whether the model was trained on the sample and then unlearned it."""
