"""The fairness-gap of layer activations as a penalty that any method can add.

Fairness-gap at a normalisation layer (Tran & Woo, arXiv 2504.13610): spread over classes of the activations' variance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from grmu_audit.data.batches import Batch
from grmu_audit.models.classifier import Classifier
from grmu_audit.models.normalisation import MIN_SAMPLES, GapDefinition, gaps
from grmu_audit.training.plan import Phase
from grmu_audit.training.runtime import Runtime


class FairnessGapPenalty:
    """weight x mean over layers of (gap(theta; batch) - gap(theta_0; batch))^2 on the retain samples of each step.

    Both gaps are measured on the same samples, so that the noise of a small batch cancels.  Where a step holds no two
    classes of at least two retain samples, nothing is added.

    Args:
        original: frozen original network.
        weight: factor of the penalty.
        layers: names of normalisation layers.
        definition: reading of the definition.
        retain: rows of the retain set, as a boolean per manifest row on the device.
        runtime: counts the samples that a gradient was taken for and the steps that the penalty acted on.
    """

    def __init__(
        self,
        original: Classifier,
        weight: float,
        layers: Sequence[str],
        definition: GapDefinition,
        retain: torch.Tensor,
        runtime: Runtime,
    ) -> None:
        self.original, self.weight, self.layers, self.definition = original, weight, list(layers), definition
        self.retain, self.runtime = retain, runtime
        self.own: Callable[[int], Phase] | None = None
        """Makes the pass over the retain set that is added to a method that reads none."""

    def loss(self, model: Classifier, batch: Batch) -> torch.Tensor | None:
        """The weighted penalty of a step's retain samples; None where it is undefined on them."""
        here = self.retain[batch.rows]
        if not bool(here.any()):
            return None
        pixels = batch.pixels[here]
        labels = (batch.target if self.definition.by == "class" else batch.group)[here]
        if int((torch.unique(labels, return_counts=True)[1] >= MIN_SAMPLES).sum()) < MIN_SAMPLES:
            return None
        with torch.no_grad():
            target = gaps(self.original, pixels, labels, self.layers, self.definition)
        now = gaps(model, pixels, labels, self.layers, self.definition)
        self.runtime.notes["fairness_gap_steps"] = self.runtime.notes.get("fairness_gap_steps", 0) + 1
        self.runtime.sample_gradients += len(pixels)
        return self.weight * (now - target).square().mean()

    def phases(self, model: Classifier, epoch: int) -> list[Phase]:
        """One pass over the retain set with the penalty alone, for methods that read no retain data."""
        return [] if self.own is None else [self.own(epoch)]
