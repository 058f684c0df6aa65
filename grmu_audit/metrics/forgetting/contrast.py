"""The contrast between forget samples and the samples that they are compared with, and its change from one model to another.

Everything that asks whether a request was forgotten compares in this way: the forgetting share, the attack that holds both
versions, and the share of every request of a lineage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from grmu_audit.intervals.closed_forms import Floats
from grmu_audit.metrics.checked_predictions import CheckedPredictions, Ints, Mask
from grmu_audit.metrics.outcome import Basis

LEAST_FORGET = 20
"""People (samples, where nothing is known of people) that the forget set must hold."""
LEAST_RETAINED = 20
"""Retained samples of a group from which on it is compared with them."""


@dataclass(frozen=True)
class Change:
    """D(X) of one model, with the influence of every sample."""

    value: float
    """D(X)."""
    influence: Floats
    """[n] influence of each row; squares, summed by person first, add up to the variance."""


@dataclass(frozen=True, eq=False)
class Arm:
    """Forget samples and the samples that they are compared with, group by group."""

    forget: Ints
    """[f] rows of the forget set whose group has comparison samples."""
    comparison: Ints
    """[c] rows that they are compared with."""
    forget_group: Ints
    """[f] position of the group."""
    comparison_group: Ints
    """[c] position of the group."""
    rows: int
    """Rows in all."""
    left_out: tuple[int, ...] = ()
    """Codes of the groups of the forget set that have fewer than two comparison samples."""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """How many forget samples are compared with retained, and with unseen samples."""

    @cached_property
    def sizes(self) -> Ints:
        """[groups] comparison samples."""
        return np.bincount(self.comparison_group, minlength=int(self.forget_group.max()) + 1)

    @property
    def smaller_side(self) -> int:
        """Samples on the side that has fewer."""
        return min(len(self.forget), len(self.comparison))

    @cached_property
    def weight(self) -> Floats:
        """[c] weights that give the comparison samples the forget set's mix of groups; they add up to 1."""
        mix = np.bincount(self.forget_group, minlength=len(self.sizes)) / len(self.forget)
        weight: Floats = (mix / self.sizes)[self.comparison_group]
        return weight

    @cached_property
    def _correction(self) -> Floats:
        """[c] corrects the deviations for the estimated mean of each group."""
        corrections: Floats = np.sqrt(self.sizes / np.maximum(self.sizes - 1, 1))[self.comparison_group]
        return corrections

    def differences(self, values: Floats) -> tuple[Floats, Floats]:
        """[f] values of the forget samples minus the mean of their group's comparison samples, and [groups] these means."""
        sums = np.bincount(self.comparison_group, weights=values[self.comparison], minlength=len(self.sizes))
        mean: Floats = sums / self.sizes
        return values[self.forget] - mean[self.forget_group], mean

    def contrast(self, values: Floats) -> Change:
        """Mean of the values over the forget samples minus that over the comparison samples."""
        single, mean = self.differences(values)
        result, n = float(single.mean()), len(single)
        influence = np.zeros(self.rows)
        influence[self.forget] = (single - result) / math.sqrt(max(n * (n - 1), 1))
        deviation = (values[self.comparison] - mean[self.comparison_group]) * self._correction
        influence[self.comparison] -= self.weight * deviation
        return Change(result, influence)


@dataclass(frozen=True, eq=False)
class ScaledMargins:
    """Margins of one model, divided by their mean size over unseen samples."""

    values: Floats
    """[n] scaled margins."""
    scale_influence: Floats
    """[n] influence of each row on the scale, relative to it."""

    @classmethod
    def of(cls, margins: Floats, unseen: Mask) -> ScaledMargins | None:
        """None without an unseen sample, and where all unseen margins are 0."""
        size = np.abs(margins[unseen])
        scale = float(size.mean()) if len(size) else 0.0
        if not scale > 0:
            return None
        influence = np.zeros(len(margins))
        influence[unseen] = (size / scale - 1) / len(size)
        return cls(margins / scale, influence)


def choose_arm(checked: CheckedPredictions, forget: Mask, kind: str = "R or U") -> Arm:
    """Forget samples with their comparison samples.

    Args:
        checked: any model's predictions; only groups and splits are read.
        forget: [n] rows of the forget set.
        kind: ``R or U``: retained samples of a group that keeps at least 20, else unseen ones; ``R`` or ``U`` alone.
    """
    codes, index = checked.cells
    retained, unseen = checked.predictions.mask("retain"), mask_unseen(checked)
    wanted, kept, others = (np.bincount(index[rows], minlength=len(codes)) for rows in (forget, retained, unseen))
    by_retained = np.full(len(codes), kind == "R") if kind in ("R", "U") else kept >= LEAST_RETAINED
    shared = (wanted > 0) & (np.where(by_retained, kept, others) >= 2)
    kinds = {
        "compared_with_retained": int(wanted[by_retained & shared].sum()),
        "compared_with_unseen": int(wanted[~by_retained & shared].sum()),
    }
    left_out = tuple(int(codes[cell]) for cell in np.flatnonzero((wanted > 0) & ~shared))
    comparison = (retained & (by_retained & shared)[index]) | (unseen & (~by_retained & shared)[index])
    return _arm(index, forget & shared[index], comparison, left_out, kinds)


def retained_arm(checked: CheckedPredictions) -> Arm:
    """All retained samples against unseen ones of their groups."""
    codes, index = checked.cells
    retained, unseen = checked.predictions.mask("retain"), mask_unseen(checked)
    counts = [np.bincount(index[rows], minlength=len(codes)) for rows in (retained, unseen)]
    shared = (counts[0] > 0) & (counts[1] >= 2)
    return _arm(index, retained & shared[index], unseen & shared[index])


def _arm(
    index: Ints, forget: Mask, comparison: Mask, left_out: tuple[int, ...] = (), kinds: Mapping[str, int] | None = None
) -> Arm:
    rows, others = np.flatnonzero(forget), np.flatnonzero(comparison)
    groups = np.unique(index[rows])
    positions = np.searchsorted(groups, index[rows]), np.searchsorted(groups, index[others])
    return Arm(rows, others, *positions, len(index), left_out, kinds or {})


def mask_unseen(checked: CheckedPredictions) -> Mask:
    """[n] samples of no training set: validation and test."""
    return checked.predictions.mask("val") | checked.predictions.mask("test")


def scaled_change(arm: Arm, before: ScaledMargins, model: ScaledMargins) -> Change:
    """D of scaled margins; the scale of either model is estimated, too, and its error is part of the influence."""
    change = arm.contrast(model.values - before.values)
    levels = [float(arm.differences(one.values)[0].mean()) for one in (before, model)]
    return Change(change.value, change.influence + levels[0] * before.scale_influence - levels[1] * model.scale_influence)


def why_too_small(checked: CheckedPredictions, forget: Mask) -> str:
    """Why so few forget samples or people say nothing, or an empty string."""
    people = checked.persons(forget)
    if (int(forget.sum()) if people is None else people) >= LEAST_FORGET:
        return ""
    return f"fewer than {LEAST_FORGET} {'samples' if people is None else 'people'} in the forget set"


def describe_basis(checked: CheckedPredictions, rows: Mask | None = None) -> Basis:
    """Samples and people of the rows, by default of the forget set."""
    rows = checked.predictions.mask("forget") if rows is None else rows
    return Basis(int(rows.sum()), persons=checked.persons(rows))
