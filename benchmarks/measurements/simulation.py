"""What every simulated kind of audit shares: draws, what became of their intervals, and how they are counted.

A setting yields draws: per metric the true value and the statistic that ``metrics`` would give, as it is measured today and as it
was before (``interval_forms`` 1).
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.measurements.cell_limits import Pair
from benchmarks.measurements.many_limits import kept_quantiles, limits_of
from grmu_audit.intervals import Statistic

Floats = npt.NDArray[np.float64]
CONFIDENCE = 0.95
_BLOCK = 500
"""Draws whose limits are taken together."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Case:
    """One interval of one draw."""

    truth: float
    """The true value."""
    now: Statistic | None
    """The statistic as it is measured today; None where the metric is undefined."""
    before: Statistic | None
    """As it was measured before."""


@dataclass
class Tally:
    """What became of the intervals of one metric over the draws of a setting."""

    draws: int = 0
    undefined: int = 0
    covered: int = 0
    above: int = 0
    """Intervals wholly above the truth."""
    below: int = 0
    """Intervals wholly below it."""
    width: float = 0.0
    """Sum of the widths."""
    before_defined: int = 0
    before_covered: int = 0
    before_width: float = 0.0

    def add(self, truth: float | Floats, now: Pair, before: Pair) -> None:
        """Count draws: their true values, and the limits of each, NaN where a metric is undefined."""
        known = ~np.isnan(now[0])
        above, below = now[0] > truth + _ROUNDING, now[1] < truth - _ROUNDING
        self.draws += len(known)
        self.undefined += int((~known).sum())
        self.above += int(above.sum())
        self.below += int(below.sum())
        self.covered += int((known & ~above & ~below).sum())
        self.width += float((now[1] - now[0])[known].sum())
        known = ~np.isnan(before[0])
        self.before_defined += int(known.sum())
        self.before_covered += int((known & (before[0] <= truth + _ROUNDING) & (before[1] >= truth - _ROUNDING)).sum())
        self.before_width += float((before[1] - before[0])[known].sum())

    @property
    def coverage(self) -> float | None:
        """Share of the defined intervals that hold the truth; None where none is defined."""
        known = self.draws - self.undefined
        return self.covered / known if known else None

    @property
    def before(self) -> float | None:
        """The same of the forms before."""
        return self.before_covered / self.before_defined if self.before_defined else None

    @property
    def wider(self) -> float | None:
        """Mean width against that of the forms before."""
        known = self.draws - self.undefined
        return self.width / known / (self.before_width / self.before_defined) if known and self.before_width else None


@dataclass(frozen=True)
class Setting:
    """One kind of audit."""

    kind: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """Kind and parameters, as a file name."""
        return "-".join(
            [self.kind, *(f"{value:g}" if isinstance(value, float) else str(value) for value in asdict(self).values())]
        )

    def draw(self, rng: np.random.Generator) -> dict[str, Case]:
        """One audit."""
        raise NotImplementedError

    def simulate(self, draws: int, seed: int = 0) -> dict[str, Tally]:
        """Tallies of every metric; more draws begin with the same ones."""
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        tallies: dict[str, Tally] = {}
        with kept_quantiles():
            for first in range(0, draws, _BLOCK):
                for name, found in self.limits(rng, min(_BLOCK, draws - first)).items():
                    tallies.setdefault(name, Tally()).add(*found)
        return tallies

    def limits(self, rng: np.random.Generator, draws: int) -> dict[str, tuple[Floats, Pair, Pair]]:
        """Of every metric the truths, and the limits of today and before, of so many draws."""
        cases: dict[str, list[Case]] = {}
        for _ in range(draws):
            for name, case in self.draw(rng).items():
                cases.setdefault(name, []).append(case)
        return {
            name: (
                np.array([case.truth for case in found]),
                limits_of([case.now for case in found], 1 - CONFIDENCE),
                limits_of([case.before for case in found], 1 - CONFIDENCE),
            )
            for name, found in cases.items()
        }
