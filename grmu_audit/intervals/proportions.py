"""Statistics that stand on counts alone: one proportion, the smallest of several, and a paired comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from grmu_audit.errors import InputError
from grmu_audit.intervals.closed_forms import (
    Floats,
    exact,
    exact_paired_difference,
    paired_difference,
    student_factor,
    wilson,
)
from grmu_audit.intervals.design_effects import design_effect
from grmu_audit.intervals.statistic import Limits, Statistic

Method = Literal["wilson", "clopper-pearson"]
PairedMethod = Literal["bonett-price", "exact"]
ROUNDING = 1e-9
"""How far a share may lie outside [0, 1] for the order in which floats were added."""
_RULES = {"wilson": wilson, "clopper-pearson": exact}
Mask = npt.NDArray[np.bool_]
Persons = np.ndarray[Any, np.dtype[np.int64]] | None
"""[n] person index of each sample, or None where every sample is its own."""


@dataclass(frozen=True)
class Proportion(Statistic):
    """``k`` of ``n`` samples.

    >>> low, high = Proportion(8, 10).interval(0.95)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """

    kind: ClassVar[str] = "proportion"
    k: float
    """Successes."""
    n: float
    """Samples."""
    deff: float = 1.0
    """Design effect of clustered samples."""
    persons: float | None = None
    """Persons that the design effect was estimated from; None where every sample is its own person."""
    method: Method = "wilson"
    """Interval method."""

    @classmethod
    def of(cls, values: Mask, person: Persons = None) -> Proportion:
        """Share of samples that are True, with its design effect."""
        return cls(int(values.sum()), len(values), design_effect(values, person), count_persons(person))

    @property
    def estimate(self) -> float:
        """Share k / n; NaN without samples."""
        return float(self.k / self.n) if self.n > 0 else math.nan

    def raw_limits(self, alpha: float) -> Limits | None:
        """Wilson's limits, or Clopper-Pearson's, with n over the design effect."""
        if not self.n > 0:
            return None
        low, high = cell_limits([self], alpha, self.method)
        return float(low[0]), float(high[0])

    def defect(self) -> str:
        """More successes than samples."""
        return "" if self.k <= self.n * (1 + ROUNDING) else f"{self.k:g} of {self.n:g} samples"

    def exact(self) -> Proportion:
        """The same counts with Clopper and Pearson's limits."""
        return replace(self, method="clopper-pearson")


@dataclass(frozen=True)
class Minimum(Statistic):
    """The smallest proportion of several cells."""

    kind: ClassVar[str] = "minimum"
    cells: tuple[Proportion, ...]
    """The cells; those without samples do not count."""
    method: Method = "wilson"
    """Interval method of a cell."""

    @property
    def estimate(self) -> float:
        """Smallest k / n over the cells that hold samples; NaN without any."""
        found = rates(self.cells)
        return float(found.min()) if len(found) else math.nan

    def exact(self) -> Minimum:
        """The same cells with Clopper and Pearson's limits."""
        return replace(self, method="clopper-pearson")

    def raw_limits(self, alpha: float) -> Limits | None:
        """Upper: the smallest upper limit, simultaneous over the G cells (``alpha / G``).

        Lower: the smallest lower limit at ``alpha`` itself, since it can only be missed if the limit of the one cell that
        is truly the smallest is.
        """
        cells = non_empty(self.cells)
        if not cells:
            return None
        low, _ = cell_limits(cells, alpha, self.method)
        _, high = cell_limits(cells, alpha / len(cells), self.method)
        return float(low.min()), float(high.min())


@dataclass(frozen=True)
class PairedCounts(Statistic):
    """Two models on the same samples: how many each is correct on; estimate: accuracy of the candidate minus the other's.

    >>> PairedCounts(5, 3, 1, 1).estimate
    0.2
    """

    kind: ClassVar[str] = "paired"
    both: float
    """Samples on which both are correct."""
    only_candidate: float
    """Samples on which only the candidate is."""
    only_other: float
    """Samples on which only the other is."""
    none: float
    """Samples on which neither is."""
    deff: float = 1.0
    """Design effect of the difference."""
    persons: float | None = None
    """Persons that the design effect was estimated from; None where every sample is its own person."""
    method: PairedMethod = "bonett-price"
    """Interval method."""

    @classmethod
    def of(cls, first: Mask, second: Mask, person: Persons = None) -> PairedCounts:
        """The four counts of two models on the same samples, with the design effect of their difference."""
        only, lost = first & ~second, second & ~first
        both, none = int((first & second).sum()), int((~first & ~second).sum())
        effect = design_effect(only.astype(np.int64) - lost, person)
        return cls(both, int(only.sum()), int(lost.sum()), none, effect, count_persons(person))

    @property
    def n(self) -> float:
        """Samples."""
        return self.both + self.only_candidate + self.only_other + self.none

    @property
    def estimate(self) -> float:
        """(only candidate - only other) / n; NaN without samples."""
        return float((self.only_candidate - self.only_other) / self.n) if self.n > 0 else math.nan

    def raw_limits(self, alpha: float) -> Limits | None:
        """Limits of the method with all counts over the design effect."""
        n = float(self.n)
        if not n > 0:
            return None
        scale = float(student_factor(alpha, np.array([degrees(self.persons)]))[0]) / float(self.deff)
        rule = paired_difference if self.method == "bonett-price" else exact_paired_difference
        return rule(self.only_candidate * scale, self.only_other * scale, n * scale, alpha)

    def by_method(self, name: str) -> PairedCounts:
        """The same: the methods of proportions are none of a difference."""
        return self

    def exact(self) -> PairedCounts:
        """The same counts with exact limits of the shares."""
        return replace(self, method="exact")


Cell = TypeVar("Cell", Proportion, PairedCounts)


def count_persons(person: Persons) -> int | None:
    """Distinct people, or None where they are unknown."""
    return None if person is None else len(np.unique(person))


def degrees(persons: float | None) -> float:
    """Degrees of freedom of a variance over people: infinite where every sample is its own."""
    return math.inf if persons is None else persons - 1.0


def non_empty(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that hold samples."""
    return [cell for cell in cells if cell.n > 0]


def rates(cells: Sequence[Proportion]) -> Floats:
    """Shares k / n of the cells that hold samples."""
    table = np.array([(c.k, c.n) for c in cells], dtype=np.float64).reshape(-1, 2)
    table = table[table[:, 1] > 0]
    return table[:, 0] / table[:, 1]


def effective_counts(cells: Sequence[Proportion], alpha: float) -> tuple[Floats, Floats]:
    """Counts of cells as if their samples were independent: over the design effect, times ``student_factor``."""
    table = np.array([(c.k, c.n, c.deff, degrees(c.persons)) for c in cells], dtype=np.float64).reshape(-1, 4)
    table = table[table[:, 1] > 0]
    scale = student_factor(alpha, table[:, 3]) / table[:, 2]
    return table[:, 0] * scale, table[:, 1] * scale


def cell_limits(cells: Sequence[Proportion], alpha: float, method: str) -> tuple[Floats, Floats]:
    """Lower and upper limits of the cells that hold samples, each at ``alpha``.

    Raises:
        InputError: an unknown method.
    """
    if method not in _RULES:
        raise InputError(f"unknown method {method!r} for a proportion: known are {', '.join(_RULES)}")
    return _RULES[method](*effective_counts(cells, alpha), alpha)
