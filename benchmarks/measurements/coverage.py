"""Do the intervals cover the truth?  Simulated audits, judged by the code that judges real ones.

    python -m benchmarks.pages.coverage --keep build/coverage --write docs/coverage.md  # 20,000 audits a setting, about an hour

Each setting's tallies are stored in the folder as soon as they are ready, so that a stopped run continues.

An audit has S attribute groups and two classes; every cell (class x attribute value) holds ``n`` test samples.  Baseline and
candidate are correct or wrong together (correlation 0.6).  ``equal``: both models are correct with probability 0.8 everywhere.
``unequal``: the baseline's accuracies run from 0.9 down to 0.7 in one class and up to 0.85 in the other, and the candidate
loses ten points in the forgotten cell and gains two elsewhere.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.measurements.bootstrap import count_bootstrap
from grmu_audit.intervals import Gap, GapChange, Limits, Minimum, MinimumChange, PairedCounts, Proportion, Statistic
from grmu_audit.intervals.closed_forms import newcombe
from grmu_audit.intervals.design_effects import clustered_cells
from grmu_audit.intervals.proportions import cell_limits
from grmu_audit.intervals.proportions import rates as cell_rates

GROUPS, SIZES, TRUTHS = (2, 4, 8), (50, 200, 1000), ("equal", "unequal")
FIRST = 2000
"""Audits of a setting that are counted apart too: what a simulation of that size alone would have said."""
COMPARED = 500
"""Audits of a setting on which the naive intervals and the plain construction are computed too."""
SUBJECT_SIZE, ICC, CORRELATION = 20, 0.3, 0.6
EVERY = ("covered", "widths", "estimates", "above", "below")
"""What a tally holds of every audit."""
RECORDED = (*EVERY, "plain_covered", "plain_widths")
"""All that it holds."""
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Setting:
    """One kind of audit."""

    groups: int
    """Attribute values."""
    size: int
    """Samples per cell."""
    truth: str
    """``equal`` or ``unequal``."""
    clustered: bool = False
    """Twenty samples per subject with intra-class correlation 0.3."""


@dataclass
class Tally:
    """What happened to one metric over the audits of a setting."""

    truth: float
    compare: bool = True
    covered: array[int] = field(default_factory=lambda: array("b"))
    plain_covered: array[int] = field(default_factory=lambda: array("b"))
    plain_widths: array[float] = field(default_factory=lambda: array("d"))
    widths: array[float] = field(default_factory=lambda: array("d"))
    estimates: array[float] = field(default_factory=lambda: array("d"))
    above: array[int] = field(default_factory=lambda: array("b"))
    below: array[int] = field(default_factory=lambda: array("b"))

    def add(self, statistic: Statistic) -> None:
        found = statistic.interval(0.95)
        low, high = found if found is not None else (-1.0, 1.0)
        self.covered.append(low <= self.truth + 1e-12 and high >= self.truth - 1e-12)
        self.above.append(low > self.truth + 1e-12)
        self.below.append(high < self.truth - 1e-12)
        self.widths.append(high - low)
        self.estimates.append(statistic.estimate)
        before = plain_limits(statistic) if self.compare and len(self.widths) <= COMPARED else None
        if before is not None:
            self.plain_covered.append(before[0] <= self.truth + 1e-12 and before[1] >= self.truth - 1e-12)
            self.plain_widths.append(before[1] - before[0])

    @property
    def coverage(self) -> float:
        return float(np.mean(self.covered))

    def part(self, start: int, end: int) -> Tally:
        """Audits ``start`` to ``end`` alone, without what was compared."""
        return Tally(self.truth, False, **{name: getattr(self, name)[start:end] for name in EVERY})

    @property
    def width(self) -> float:
        return float(np.mean(self.widths))

    @property
    def least_width(self) -> float:
        """Width of the shortest interval that holds 95 % of the estimates: what knowing the law exactly would allow."""
        ranked = np.sort(self.estimates)
        inside = int(np.ceil(0.95 * len(ranked)))
        return float((ranked[inside - 1 :] - ranked[: len(ranked) - inside + 1]).min())


def rates(setting: Setting) -> Floats:
    """[2, S, 4] probabilities of both correct, only the candidate, only the baseline, none, per class and attribute value."""
    s = setting.groups
    old = np.full((2, s), 0.8)
    new = old.copy()
    if setting.truth == "unequal":
        old = np.stack([np.linspace(0.75, 0.85, s), np.linspace(0.9, 0.7, s)])
        new = old + 0.02
        new[1, 0] = old[1, 0] - 0.1
    both = new * old + CORRELATION * np.sqrt(new * (1 - new) * old * (1 - old))
    both = np.minimum(both, np.minimum(new, old))
    return np.stack([both, new - both, old - both, 1 - new - old + both], axis=-1)


def draw(setting: Setting, audits: int, rng: np.random.Generator) -> Iterator[list[dict[str, Statistic]]]:
    """Per audit the statistics that ``metrics`` would yield: [0] cluster-robust or plain, [1] naive."""
    p = rates(setting)
    for start in range(0, audits, 100):
        some = min(100, audits - start)
        if setting.clustered:
            yield from _clustered(setting, p, some, rng)
        else:
            counts = _independent(setting, p, some, rng)
            yield from ([statistics(audit.tolist(), None)] for audit in counts)


def _independent(setting: Setting, p: Floats, some: int, rng: np.random.Generator) -> Ints:
    """[audits, 2, S, 4] counts; the classes of a group's samples are sampled too."""
    ones = rng.binomial(2 * setting.size, 0.5, size=(some, setting.groups))
    sizes = np.stack([2 * setting.size - ones, ones], axis=1)
    return np.stack([np.stack([rng.multinomial(sizes[:, y, s], p[y, s]) for s in range(setting.groups)], 1) for y in (0, 1)], 1)


def _clustered(setting: Setting, p: Floats, some: int, rng: np.random.Generator) -> Iterator[list[dict[str, Statistic]]]:
    """Every subject has its own probabilities (Dirichlet), so that two of its samples correlate by ICC."""
    subjects = -(-setting.size // SUBJECT_SIZE)
    sizes = np.full(subjects, SUBJECT_SIZE)
    sizes[-1] = setting.size - SUBJECT_SIZE * (subjects - 1)
    cells = 2 * setting.groups
    own = np.stack([rng.dirichlet(q * (1 / ICC - 1), size=(some, subjects)) for q in p.reshape(cells, 4)], axis=1)
    counts = rng.multinomial(np.broadcast_to(sizes, own.shape[:-1]), own)
    effects = _effects(counts)
    for i, audit in enumerate(counts):
        table = audit.sum(axis=1).reshape(2, setting.groups, 4).tolist()
        yield [statistics(table, {k: v[i] for k, v in effects.items()}), statistics(table, None)]


def _effects(counts: Ints) -> dict[str, Any]:
    """[audits, 2, S] design effects and people of candidate, baseline and their difference, by the tool's own function."""
    audits, cells, subjects, _ = counts.shape
    rows = counts.reshape(-1)
    block = np.repeat(np.arange(audits * cells * subjects), 4)
    person, outcome = np.repeat(block, rows), np.repeat(np.tile(np.arange(4), audits * cells * subjects), rows)
    cell = person // subjects
    signs = {"candidate": np.array([1, 1, 0, 0]), "baseline": np.array([1, 0, 1, 0]), "change": np.array([0, 1, -1, 0])}
    groups = cells // 2
    one, value = (cell % cells) // groups, cell // cells * groups + cell % groups
    made = {}
    for name, sign in signs.items():
        hit = sign[outcome]
        made[name] = _shaped(clustered_cells(hit, cell, audits * cells, person, np.repeat(np.arange(audits), cells)), audits, 2)
        called = np.where(one == 1, hit, -hit if name == "change" else 1 - hit)
        parity = clustered_cells(called, value, audits * groups, person, np.repeat(np.arange(audits), groups))
        made[f"called {name}"] = _shaped(parity, audits, 1)
    return made


def _shaped(found: tuple[Floats, list[int] | list[None]], audits: int, classes: int) -> Floats:
    """[audits, classes, S, 2] design effects and people."""
    table = np.stack([found[0], np.array(found[1], dtype=np.float64)], axis=-1)
    return table.reshape(audits, classes, -1, 2)


def statistics(table: list[Any], effects: dict[str, Any] | None) -> dict[str, Statistic]:
    """The statistics of one audit from [2][S][4] counts."""

    def cell(y: int, s: int, side: str) -> Proportion:
        both, first, second, _ = table[y][s]
        k, n = both + (first if side == "candidate" else second), sum(table[y][s])
        return Proportion(k, n) if effects is None else Proportion(k, n, *effects[side][y, s].tolist())

    def pair(y: int, s: int) -> PairedCounts:
        return PairedCounts(*table[y][s], *((1.0, None) if effects is None else effects["change"][y, s].tolist()))

    groups = range(len(table[0]))
    minima, gaps = [], []
    for side in ("candidate", "baseline"):
        by_class = [tuple(cell(y, s, side) for s in groups) for y in (0, 1)]
        minima.append(Minimum(by_class[0] + by_class[1]))
        gaps.append({"EO": Gap(tuple(by_class), "mean"), "EP": Gap((by_class[1],), "max")})
    pairs = [tuple(pair(y, s) for s in groups) for y in (0, 1)]
    terms = {"EO": tuple(pairs), "EP": (pairs[1],)}
    gaps[0]["DP"], gaps[1]["DP"], called = _parity(table, effects)
    terms["DP"] = (called,)
    changes = {f"{name} change": GapChange(gaps[0][name], gaps[1][name], terms[name], gaps[0][name].aggregate) for name in terms}
    single: dict[str, Statistic] = {"GA": cell(1, 0, "candidate"), "GA change": pair(1, 0), "WG": minima[0]}
    return {**single, **gaps[0], "WG change": MinimumChange(minima[0], minima[1], (pairs[0] + pairs[1],)), **changes}


def _parity(table: list[Any], effects: dict[str, Any] | None) -> tuple[Gap, Gap, tuple[PairedCounts, ...]]:
    """Rates of predicting class 1: correct in class 1, wrong in class 0."""

    def known(name: str, s: int) -> list[Any]:
        return [1.0, None] if effects is None else effects[f"called {name}"][0, s].tolist()

    pairs = tuple(
        PairedCounts(one[0] + zero[3], one[1] + zero[2], one[2] + zero[1], one[3] + zero[0], *known("change", s))
        for s, (zero, one) in enumerate(zip(table[0], table[1], strict=True))
    )
    candidate = tuple(Proportion(c.both + c.only_candidate, c.n, *known("candidate", s)) for s, c in enumerate(pairs))
    baseline = tuple(Proportion(c.both + c.only_other, c.n, *known("baseline", s)) for s, c in enumerate(pairs))
    return Gap((candidate,), "max"), Gap((baseline,), "max"), pairs


def truths(setting: Setting) -> dict[str, float]:
    """The true value of every metric."""
    p = rates(setting)
    right = {"candidate": p[..., 0] + p[..., 1], "baseline": p[..., 0] + p[..., 2]}
    rules: dict[str, Callable[[Floats], float]] = {
        "GA": lambda a: float(a[1, 0]),
        "WG": lambda a: float(a.min()),
        "EO": lambda a: float(np.ptp(a, axis=1).mean()),
        "EP": lambda a: float(np.ptp(a[1])),
        "DP": lambda a: float(np.ptp((a[1] + 1 - a[0]) / 2)),
    }
    values = {name: rule(right["candidate"]) for name, rule in rules.items()}
    return values | {f"{name} change": values[name] - rule(right["baseline"]) for name, rule in rules.items()}


def simulate(setting: Setting, audits: int, seed: int) -> list[dict[str, Tally]]:
    """Tallies of every metric; with clusters the naive ones second.  More audits begin with the same ones."""
    rng = np.random.default_rng([seed, setting.groups, setting.size, TRUTHS.index(setting.truth), setting.clustered])
    truth = truths(setting)
    tallies: list[dict[str, Tally]] = []
    for audit, variants in enumerate(draw(setting, audits, rng)):
        names = list(variants[0])
        tallies = tallies or [{n: Tally(truth[n], not setting.clustered) for n in names} for _ in variants]
        for made, tally in zip(variants[: 1 if audit >= COMPARED else None], tallies, strict=False):
            for name in names:
                tally[name].add(made[name])
    return tallies


def plain_limits(statistic: Statistic) -> Limits | None:
    """The construction before it was sharpened: Bonferroni in both directions, terms and models joined as boxes."""
    if isinstance(statistic, Minimum):
        low, high = cell_limits(statistic.cells, 0.05 / len(statistic.cells))
        return float(low.min()), float(high.min())
    if isinstance(statistic, Gap):
        return plain_gap(statistic, 0.05)
    if isinstance(statistic, GapChange):
        left, right = plain_gap(statistic.left, 0.025), plain_gap(statistic.right, 0.025)
        return left[0] - right[1], left[1] - right[0]
    return None


def plain_gap(statistic: Gap, alpha: float) -> Limits:
    """Every pair of cells at alpha / pairs, terms averaged or the largest taken."""
    share = alpha / sum(len(cells) * (len(cells) - 1) / 2 for cells in statistic.terms)
    bounds = []
    for cells in statistic.terms:
        lower, upper = newcombe(cell_rates(cells), *cell_limits(cells, share))
        np.fill_diagonal(upper, -1.0)
        bounds.append((max(0.0, float(lower.max())), float(upper.max())))
    joined = np.mean if statistic.aggregate == "mean" else np.max
    return float(joined([b[0] for b in bounds])), float(joined([b[1] for b in bounds]))


def percentile_bootstrap(setting: Setting, audits: int, seed: int, replicates: int = 500) -> dict[str, float]:
    """Coverage of the 2.5 and 97.5 percentiles of the count bootstrap, which a max - min of nearly equal cells defeats."""
    rng, truth, p = np.random.default_rng([seed, 1, setting.groups]), truths(setting), rates(setting)
    hits = dict.fromkeys(("WG", "EO", "EP"), 0)
    for counts in _independent(setting, p, audits, rng):
        right = counts[..., 0] + counts[..., 1]
        cells = np.stack([right, counts.sum(axis=-1) - right], axis=-1)
        drawn = count_bootstrap(cells.reshape(-1), replicates, rng).reshape(replicates, *cells.shape)
        a = drawn[..., 0] / np.maximum(drawn.sum(axis=-1), 1)
        made = {"WG": a.min(axis=(1, 2)), "EO": np.ptp(a, axis=2).mean(axis=1), "EP": np.ptp(a[:, 1], axis=1)}
        for name, values in made.items():
            low, high = np.quantile(values, [0.025, 0.975])
            hits[name] += bool(low <= truth[name] <= high)
    return {name: hit / audits for name, hit in hits.items()}


def false_blocks(groups: int, audits: int, seed: int) -> tuple[float, float]:
    """How often "gap <= 0.05" blocks by the estimate and by the interval, for equal true accuracy 0.8, groups of 200."""
    rng = np.random.default_rng([seed, 2, groups])
    right = rng.binomial(200, 0.8, size=(audits, groups))
    point = float((np.ptp(right, axis=1) / 200 > 0.05).mean())
    limits = [Gap((tuple(Proportion(k, 200) for k in row),), "max").interval(0.95) for row in right.tolist()]
    return point, float(np.mean([found is not None and found[0] > 0.05 for found in limits]))
