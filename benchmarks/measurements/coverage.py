"""Do the intervals cover the truth?  The grid of simulated audits.

python -m benchmarks.pages.coverage --keep build/coverage --write docs/coverage.md

Tallies of a setting are stored as soon as they are ready, so that a stopped run continues.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.measurements.area_settings import Areas, Changes, Forgotten
from benchmarks.measurements.cell_limits import (
    FORMS,
    Moves,
    Pair,
    Shares,
    difference_limits,
    gap_change_limits,
    gap_limits,
    held,
    minimum_change_limits,
    minimum_limits,
)
from benchmarks.measurements.people_draws import PeopleDraw, people_statistics, people_truths
from benchmarks.measurements.simulation import CONFIDENCE, Case, Floats, Setting
from grmu_audit.intervals import Difference, Gap, GapChange, Minimum, MinimumChange, PairedCounts, Proportion, Statistic

Counts = npt.NDArray[np.int64]
CORRELATION = 0.6


@dataclass(frozen=True)
class Rates(Setting):
    """Two classes and ``values`` attribute values, independent samples, ``size`` in every cell."""

    kind: ClassVar[str] = "rates"
    values: int
    """Attribute values."""
    size: int
    """Samples per cell."""
    rate: float
    """Accuracy of every cell, but that of the forgotten one, and of the model before."""
    shift: float
    """By how much the candidate's accuracy in the forgotten cell differs."""

    def limits(self, rng: np.random.Generator, draws: int) -> dict[str, tuple[Floats, Pair, Pair]]:
        """From the counts of all cells in all draws; the tests compare them with ``draw``."""
        p = self._probabilities()
        counts = rng.multinomial(self.size, p, size=(draws, 2, self.values))
        now, before = (_count_limits(counts, self.size, form) for form in FORMS[::-1])
        return {name: (np.full(draws, truth), now[name], before[name]) for name, truth in _truths(p).items() if name in now}

    def draw(self, rng: np.random.Generator) -> dict[str, Case]:
        """One draw as the statistics of an audit, one by one."""
        p = self._probabilities()
        counts, truth = rng.multinomial(self.size, p, size=(1, 2, self.values))[0], _truths(p)
        return {name: Case(truth[name], made.exact(), made) for name, made in _count_statistics(counts.tolist()).items()}

    def _probabilities(self) -> Floats:
        """[2, values, 4] both correct, only the candidate, only the baseline, none."""
        old = np.full((2, self.values), self.rate)
        new = old.copy()
        new[1, 0] = min(max(self.rate + self.shift, 0.005), 0.995)
        both = new * old + CORRELATION * np.sqrt(new * (1 - new) * old * (1 - old))
        both = np.minimum(both, np.minimum(new, old))
        return np.stack([both, new - both, old - both, np.maximum(1 - new - old + both, 0)], axis=-1)


def _count_statistics(table: list[Any]) -> dict[str, Statistic]:
    """The statistics of one audit from [2][values][4] counts."""
    pairs = [[PairedCounts(*cell) for cell in row] for row in table]
    sides = [
        [[Proportion(p.both + getattr(p, only), p.n) for p in row] for row in pairs] for only in ("only_candidate", "only_other")
    ]
    called = [
        PairedCounts(one[0] + zero[3], one[1] + zero[2], one[2] + zero[1], one[3] + zero[0])
        for zero, one in zip(*table, strict=True)
    ]
    parity = [[Proportion(p.both + getattr(p, only), p.n) for p in called] for only in ("only_candidate", "only_other")]
    flat = tuple(p for row in pairs for p in row)
    minima = [Minimum(tuple(cell for row in side for cell in row)) for side in sides]
    made: dict[str, Statistic] = {"GA": sides[0][1][0], "GA change": flat[len(pairs[0])], "WG": minima[0]}
    made["WG change"] = MinimumChange(minima[0], minima[1], (flat,))
    made["UA - GA"] = Difference(sides[0][1][0], sides[0][0][0])
    if len(table[0]) < 2:
        return made
    terms = {"EO": tuple(map(tuple, pairs)), "EP": (tuple(pairs[1]),), "DP": (tuple(called),)}
    for name, moved in terms.items():
        rows = [parity[i : i + 1] if name == "DP" else side[1:] if name == "EP" else side for i, side in enumerate(sides)]
        gaps = [Gap(tuple(map(tuple, row)), "mean" if name == "EO" else "max") for row in rows]
        made[name], made[f"{name} change"] = gaps[0], GapChange(gaps[0], gaps[1], moved, gaps[0].aggregate)
    return made


def _count_limits(counts: npt.NDArray[np.int64], size: int, form: str) -> dict[str, Pair]:
    """Limits of every metric from [draws, 2, values, 4] counts; as ``_count_statistics``, for all draws at once."""
    alpha, (both, gained, lost, none) = 1 - CONFIDENCE, np.moveaxis(counts, 3, 0)
    called = [both[:, 1] + none[:, 0], gained[:, 1] + lost[:, 0], lost[:, 1] + gained[:, 0]]

    def cells(parts: Sequence[Counts], n: int) -> tuple[tuple[Shares, Shares], Moves]:
        """Both models' cells, and the changes."""
        together, gained, lost = parts
        sides = Shares(together + gained, n, form), Shares(together + lost, n, form)
        return sides, Moves(Shares(gained, n, "clopper-pearson"), Shares(lost, n, "clopper-pearson"), form)

    (one, other), moves = cells([x.reshape(len(counts), -1) for x in (both, gained, lost)], size)
    of = [Shares(one.k[:, i], size, form) for i in (counts.shape[2], 0)]
    first, second = (Shares(x.k[:, counts.shape[2]], size, "clopper-pearson") for x in (moves.gained, moves.lost))
    own = Moves(first, second, form)
    made = {"GA": held(of[0].limits(alpha), of[0].p), "GA change": held(own.limits(alpha), own.p)}
    made |= {"WG": minimum_limits(one, alpha), "WG change": minimum_change_limits((one, other), moves, alpha)}
    made["UA - GA"] = difference_limits(of[0], of[1], alpha)
    if counts.shape[2] < 2:
        return made
    terms = {
        "EO": cells([both, gained, lost], size),
        "EP": cells([both[:, 1:], gained[:, 1:], lost[:, 1:]], size),
        "DP": cells([x[:, None] for x in called], 2 * size),
    }
    for name, (sides, moved) in terms.items():
        made |= {name: gap_limits(sides[0], alpha), f"{name} change": gap_change_limits(sides, moved, alpha)}
    return made


def _truths(p: Floats) -> dict[str, float]:
    right = [p[..., 0] + p[..., 1], p[..., 0] + p[..., 2]]
    made: dict[str, float] = {"UA - GA": float(right[0][1, 0] - right[0][0, 0])}
    for name in ("GA", "WG", "EO", "EP", "DP"):
        values = [people_truths(a)[name] for a in right]
        made |= {name: values[0], f"{name} change": values[0] - values[1]}
    return made


@dataclass(frozen=True)
class People(Setting):
    """Two classes, ten samples of every person, by one of ``people_draws.CLUSTERINGS``."""

    kind: ClassVar[str] = "people"
    clustering: str
    """How the samples of a person are correlated."""
    people: int
    """People in the test split."""
    values: int
    """Attribute values."""
    rate: float
    """Accuracy."""
    shift: float = 0.0
    """By how much it differs in the forgotten cell."""

    def draw(self, rng: np.random.Generator) -> dict[str, Case]:
        """Predictions of two models, and the metrics on them."""
        made = PeopleDraw(self.clustering, self.people, self.values, self.rate, self.shift)
        truth = made.truths()
        found = people_statistics(*made.predictions(rng))
        return {
            name: Case(truth[name], statistic and statistic.exact(), statistic and as_before(statistic))
            for name, statistic in found.items()
        }


def as_before(statistic: Statistic) -> Statistic:
    """A gap without what one person's samples in several cells add."""
    if isinstance(statistic, GapChange):
        left, right = (replace(side, dependence=1.0) for side in (statistic.left, statistic.right))
        return replace(statistic, left=left, right=right, dependence=1.0)
    return replace(statistic, dependence=1.0) if isinstance(statistic, Gap) else statistic


def settings() -> Iterator[Setting]:
    """The grid, kinds in turn, so that a run that is stopped has seen every kind."""
    rates, clusterings = (0.995, 0.03, 0.8, 0.005, 0.98, 0.5), ("shared ability", "opposite bias", "one cell")
    kinds: tuple[list[Setting], ...] = (
        [
            Areas(s, n1, n0, a)
            for n0 in (100, 1000)
            for s in (1.0, 2.0)
            for n1 in (5, 20, 40, 400)
            for a in (0.5, 0.7, 0.95, 0.99)
        ],
        [
            Changes(s, n, *areas)
            for s in (1.0, 2.0)
            for n in (5, 20)
            for areas in ((0.97, 0.9), (0.99, 0.8), (0.95, 0.7), (0.7, 0.9), (0.8, 0.4), (0.7, 0.5))
        ],
        [Forgotten(p, c, a) for a in (0.8, 0.5) for c in (0.3, 0.0) for p in (1, 2, 4, 10, 100)],
        [Rates(v, n, r, 0.0) for v in (1, 4) for r in rates for n in (5, 200, 20, 2000)],
        [People(c, p, 2, r) for r in (0.8, 0.95) for p in (100, 20, 5, 1) for c in clusterings],
        [Rates(v, n, r, -0.1 if r > 0.2 else 0.1) for v in (2, 10) for r in rates for n in (10, 200)],
    )
    for turn in zip_longest(*kinds):
        yield from (setting for setting in turn if setting is not None)
