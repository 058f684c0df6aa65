"""Do the intervals cover the truth?  Draws of many kinds of audit, and what became of every interval.

python -m benchmarks.pages.coverage --keep build/coverage --write docs/coverage.md

A setting yields draws: per metric the true value and the statistic that ``metrics`` would give, as it is measured today and as it
was before (``interval_forms`` 1).  Tallies of a setting are stored as soon as they are ready, so that a stopped run continues.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.measurements.many_limits import (
    FORMS,
    Moves,
    Pair,
    Shares,
    difference_limits,
    gap_change_limits,
    gap_limits,
    held,
    kept_quantiles,
    limits_of,
    minimum_change_limits,
    minimum_limits,
)
from benchmarks.measurements.people_draws import PeopleDraw, people_statistics, people_truths
from grmu_audit.intervals import (
    AreaChange,
    Difference,
    Gap,
    GapChange,
    Minimum,
    MinimumChange,
    PairedCounts,
    Proportion,
    RateAtThreshold,
    Statistic,
)
from grmu_audit.intervals.operating_points import LEVELS
from grmu_audit.metrics.scores import Roc, change_of_areas, operating_threshold, roc, standard_error, threshold_shares

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
CORRELATION = 0.6
CONFIDENCE = 0.95
_BLOCK = 500
"""Draws whose limits are taken together."""
_ROUNDING = 1e-12
_UNSEEN_PEOPLE, _UNSEEN_EACH, _FORGET_EACH = 60, 5, 8
_NORMAL = NormalDist()


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
        """From the counts of all cells in all draws; the tests compare them with ``cases``."""
        p = self._probabilities()
        counts = rng.multinomial(self.size, p, size=(draws, 2, self.values))
        now, before = (_count_limits(counts, self.size, form) for form in FORMS[::-1])
        return {name: (np.full(draws, truth), now[name], before[name]) for name, truth in _truths(p).items() if name in now}

    def cases(self, rng: np.random.Generator) -> dict[str, Case]:
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

    def cells(together: Counts, gained: Counts, lost: Counts, n: int) -> tuple[tuple[Shares, Shares], Moves]:
        """Both models' cells, and the changes."""
        sides = Shares(together + gained, n, form), Shares(together + lost, n, form)
        return sides, Moves(Shares(gained, n, "clopper-pearson"), Shares(lost, n, "clopper-pearson"), form)

    flat = [x.reshape(len(counts), -1) for x in (both, gained, lost)]
    (one, other), moves = cells(*flat, size)
    of = [Shares(one.k[:, i], size, form) for i in (counts.shape[2], 0)]
    own = Moves(*(Shares(x.k[:, counts.shape[2]], size, "clopper-pearson") for x in (moves.gained, moves.lost)), form)
    made = {"GA": held(of[0].limits(alpha), of[0].p), "GA change": held(own.limits(alpha), own.p)}
    made |= {"WG": minimum_limits(one, alpha), "WG change": minimum_change_limits((one, other), moves, alpha)}
    made["UA - GA"] = difference_limits(of[0], of[1], alpha)
    if counts.shape[2] < 2:
        return made
    terms = {
        "EO": cells(both, gained, lost, size),
        "EP": cells(both[:, 1:], gained[:, 1:], lost[:, 1:], size),
        "DP": cells(*(x[:, None] for x in called), 2 * size),
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


@dataclass(frozen=True)
class Areas(Setting):
    """One forget set against unseen samples, normal scores; the model before has a correlated score of the same law."""

    kind: ClassVar[str] = "areas"
    spread: float
    """Standard deviation of the forget set's scores; 1 for unseen ones."""
    forget: int
    """Forget samples."""
    unseen: int
    """Unseen samples."""
    area: float
    """True area."""

    def draw(self, rng: np.random.Generator) -> dict[str, Case]:
        """Scores of both models, and MIA_AUC, its change and MIA_TPR_1 on them."""
        away = _NORMAL.inv_cdf(self.area) * math.hypot(self.spread, 1)
        (z1, y1), (z0, y0) = rng.normal(0, 1, (2, self.forget)), rng.normal(0, 1, (2, self.unseen))
        positive = [away + self.spread * z1, away + self.spread * (0.8 * z1 + 0.6 * y1)]
        negative = [z0, 0.8 * z0 + 0.6 * y0]
        curves = [roc(p, n, np.ones(self.unseen)) for p, n in zip(positive, negative, strict=True)]
        made = {"MIA_AUC": Case(self.area, curves[0].effective_area(None, None), curves[0].area(None)), **_moved(curves)}
        if self.unseen >= 100:
            truth = 1 - _NORMAL.cdf((_NORMAL.inv_cdf(0.99) - away) / self.spread)
            made["MIA_TPR_1"] = Case(truth, *_threshold_rates(positive[0], negative[0]))
        return made


def _moved(curves: list[Roc], truth: float = 0.0) -> dict[str, Case]:
    one, two = curves
    old = AreaChange(one.area(None), two.area(None), standard_error(one.influence - two.influence, None))
    return {"MIA_AUC change": Case(truth, change_of_areas(one, two, None, None), old)}


def _threshold_rates(positive: Floats, negative: Floats) -> tuple[Statistic, Statistic]:
    ones = np.ones(len(negative))
    called = Proportion.of(positive > operating_threshold(negative, ones, 0.01)[0]).exact()
    shares = threshold_shares(positive, negative, ones, 0.01, len(negative))
    return RateAtThreshold(called, LEVELS, *shares), called


@dataclass(frozen=True)
class Changes(Setting):
    """As ``Areas`` with 100 unseen samples, but the area of the model before is another one."""

    kind: ClassVar[str] = "changes"
    spread: float
    """Standard deviation of the forget set's scores by both models; 1 for unseen ones."""
    forget: int
    """Forget samples."""
    area: float
    """True area of the candidate."""
    area_before: float
    """True area of the model before."""

    def draw(self, rng: np.random.Generator) -> dict[str, Case]:
        """Scores of both models, and the change of MIA_AUC on them."""
        away = [_NORMAL.inv_cdf(area) * math.hypot(self.spread, 1) for area in (self.area, self.area_before)]
        (z1, y1), (z0, y0) = rng.normal(0, 1, (2, self.forget)), rng.normal(0, 1, (2, 100))
        positive = [away[0] + self.spread * z1, away[1] + self.spread * (0.8 * z1 + 0.6 * y1)]
        curves = [roc(p, n, np.ones(100)) for p, n in zip(positive, [z0, 0.8 * z0 + 0.6 * y0], strict=True)]
        return _moved(curves, self.area - self.area_before)


@dataclass(frozen=True)
class Forgotten(Setting):
    """A few people in the forget set, eight samples each, against 60 unseen people with five each."""

    kind: ClassVar[str] = "forgotten"
    people: int
    """People in the forget set."""
    correlation: float
    """Share of a score's variance that lies between people."""
    area: float
    """True area for people like them."""

    def draw(self, rng: np.random.Generator) -> dict[str, Case]:
        """Scores with an effect of every person."""
        between, within = math.sqrt(self.correlation), math.sqrt(1 - self.correlation)
        owner = np.repeat(np.arange(self.people), _FORGET_EACH)
        unseen = np.repeat(np.arange(_UNSEEN_PEOPLE), _UNSEEN_EACH)
        away, own = _NORMAL.inv_cdf(self.area) * math.sqrt(2), rng.normal(0, 1, self.people)
        positive = away + between * own[owner] + rng.normal(0, within, len(owner))
        negative = between * rng.normal(0, 1, _UNSEEN_PEOPLE)[unseen] + rng.normal(0, within, len(unseen))
        theirs = float(np.mean([_NORMAL.cdf((away + between * o) / math.sqrt(1 + within**2)) for o in own]))
        curve = roc(positive, negative, np.ones(len(negative)))
        before = curve.area(np.concatenate([owner, self.people + unseen]))
        like = None if self.people == 1 else curve.effective_area(owner, self.people + unseen)
        return {
            "MIA_AUC, these people": Case(theirs, curve.effective_area(None, self.people + unseen), before),
            "MIA_AUC, people like them": Case(self.area, like, before),
        }


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
