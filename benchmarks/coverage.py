"""Do the intervals cover the truth?  Simulated audits, judged by the code that judges real ones.

    python -m benchmarks.coverage --write docs/coverage.md     # 2,000 audits a setting, some minutes on one core

An audit has S attribute groups and two classes; every cell (class x attribute value) holds ``n`` test samples.  Baseline and
candidate are right or wrong together (correlation 0.6).  ``equal``: both models are right with probability 0.8 everywhere.
``unequal``: the baseline's accuracies run from 0.9 down to 0.7 in one class and up to 0.85 in the other, and the candidate
loses ten points in the forgotten cell and gains two elsewhere.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from grmu_audit.metrics.clusters import clustered_cells
from grmu_audit.metrics.intervals import Statistic, estimate, interval, proportion
from grmu_audit.metrics.performance import paired_counts

GROUPS, SIZES, TRUTHS = (2, 4, 8), (50, 200, 1000), ("equal", "unequal")
SUBJECT_SIZE, ICC, CORRELATION = 20, 0.3, 0.6
FOUR = ("both", "only_candidate", "only_other", "none")

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
    covered: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    estimates: list[float] = field(default_factory=list)
    above: list[bool] = field(default_factory=list)
    below: list[bool] = field(default_factory=list)

    def add(self, statistic: Statistic) -> None:
        found = interval(statistic, 0.95)
        low, high = found if found is not None else (-1.0, 1.0)
        self.covered.append(low <= self.truth + 1e-12 and high >= self.truth - 1e-12)
        self.above.append(low > self.truth + 1e-12)
        self.below.append(high < self.truth - 1e-12)
        self.widths.append(high - low)
        self.estimates.append(estimate(statistic))

    @property
    def coverage(self) -> float:
        return float(np.mean(self.covered))

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
    """[2, S, 4] probabilities of both right, only the candidate, only the baseline, none, per class and attribute value."""
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
    """Per audit the statistics that ``metrics`` would make: [0] cluster-robust or plain, [1] naive."""
    p = rates(setting)
    for start in range(0, audits, 100):
        some = min(100, audits - start)
        if setting.clustered:
            yield from _clustered(setting, p, some, rng)
        else:
            counts = _independent(setting, p, some, rng)
            yield from ([statistics(audit.tolist(), None)] for audit in counts)


def _independent(setting: Setting, p: Floats, some: int, rng: np.random.Generator) -> Ints:
    """[audits, 2, S, 4] counts; the classes of a group's samples are drawn too."""
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
    """[audits, 2, S] design effects and persons of candidate, baseline and their difference, by the tool's own function."""
    audits, cells, subjects, _ = counts.shape
    rows = counts.reshape(-1)
    block = np.repeat(np.arange(audits * cells * subjects), 4)
    person, outcome = np.repeat(block, rows), np.repeat(np.tile(np.arange(4), audits * cells * subjects), rows)
    cell = person // subjects
    signs = {"candidate": np.array([1, 1, 0, 0]), "baseline": np.array([1, 0, 1, 0]), "change": np.array([0, 1, -1, 0])}
    pool = np.repeat(np.arange(audits), cells)
    made = {k: clustered_cells(v[outcome], cell, audits * cells, person, pool) for k, v in signs.items()}
    return {k: np.stack([effects, persons], axis=-1).reshape(audits, 2, cells // 2, 2) for k, (effects, persons) in made.items()}


def statistics(table: list[Any], effects: dict[str, Any] | None) -> dict[str, Statistic]:
    """The statistics of one audit from [2][S][4] counts."""

    def cell(y: int, s: int, side: str) -> Statistic:
        both, first, second, _ = table[y][s]
        k, n = both + (first if side == "candidate" else second), sum(table[y][s])
        return proportion(k, n) if effects is None else proportion(k, n, *effects[side][y, s].tolist())

    def pair(y: int, s: int) -> Statistic:
        deff, persons = (1.0, None) if effects is None else effects["change"][y, s].tolist()
        return paired_counts(tuple(table[y][s]), deff, persons)

    groups = range(len(table[0]))
    made: dict[str, Statistic] = {"GA": cell(1, 0, "candidate"), "GA change": pair(1, 0)}
    sides: dict[str, dict[str, Statistic]] = {}
    for side in ("candidate", "baseline"):
        by_class = [[cell(y, s, side) for s in groups] for y in (0, 1)]
        sides[side] = {
            "WG": {"kind": "minimum", "cells": by_class[0] + by_class[1]},
            "EO": {"kind": "gap", "terms": by_class, "aggregate": "mean"},
            "EP": {"kind": "gap", "terms": [by_class[1]], "aggregate": "max"},
        }
    pairs = [[pair(y, s) for s in groups] for y in (0, 1)]
    terms = {"WG": ([pairs[0] + pairs[1]], "min"), "EO": (pairs, "mean"), "EP": ([pairs[1]], "max")}
    if effects is None:
        sides["candidate"]["DP"], sides["baseline"]["DP"], terms["DP"] = _parity(table)
    made |= sides["candidate"]
    for name, (cells, how) in terms.items():
        both = {"left": sides["candidate"][name], "right": sides["baseline"][name]}
        made[f"{name} change"] = {"kind": "bounded_change", **both, "terms": cells, "aggregate": how}
    return made


def _parity(table: list[Any]) -> tuple[Statistic, Statistic, tuple[list[list[Statistic]], str]]:
    """Rates of predicting class 1: right in class 1, wrong in class 0."""
    cells = []
    for zero, one in zip(table[0], table[1], strict=True):
        four = [one[0] + zero[3], one[1] + zero[2], one[2] + zero[1], one[3] + zero[0]]
        cells.append({"kind": "paired", **dict(zip(FOUR, four, strict=True)), "deff": 1.0})
    sides = []
    for alone in ("only_candidate", "only_other"):
        terms = [[proportion(c["both"] + c[alone], sum(c[k] for k in FOUR)) for c in cells]]
        sides.append({"kind": "gap", "terms": terms, "aggregate": "max"})
    return sides[0], sides[1], ([cells], "max")


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
    """Tallies of every metric; with clusters the naive ones second."""
    rng = np.random.default_rng([seed, setting.groups, setting.size, TRUTHS.index(setting.truth), setting.clustered])
    truth = truths(setting)
    tallies: list[dict[str, Tally]] = []
    for variants in draw(setting, audits, rng):
        tallies = tallies or [{name: Tally(truth[name]) for name in made} for made in variants]
        for made, tally in zip(variants, tallies, strict=True):
            for name, statistic in made.items():
                tally[name].add(statistic)
    return tallies


def plain(statistic: Statistic) -> Statistic:
    """The construction that the sharper one replaced: every cell's Wilson limit at alpha / cells, combined as a box."""
    if statistic["kind"] == "bounded_change":
        return {"kind": "difference_box", "left": statistic["left"], "right": statistic["right"]}
    return statistic


def settings(clustered: bool) -> list[Setting]:
    return [Setting(g, n, t, clustered) for t in TRUTHS for g in GROUPS for n in SIZES]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Coverage of the intervals by simulation.")
    parser.add_argument("--audits", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args(arguments)
    from benchmarks.coverage_page import page

    start = time.process_time()
    results: dict[Setting, list[dict[str, Tally]]] = {}
    for setting in [*settings(False), *settings(True)]:
        results[setting] = simulate(setting, options.audits, options.seed)
        print(f"{setting} {time.process_time() - start:.0f} s", file=sys.stderr)
    text = page(results, options.audits, options.seed, time.process_time() - start)
    if options.write:
        options.write.write_text(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
