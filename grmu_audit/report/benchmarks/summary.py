"""Rows of a benchmark put together: one cell for each request and ratio, one line for each method, over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grmu_audit.records.benchmark import CEILING, FLOOR, METHOD, PARTS, RETRAINED, BenchmarkRow

CONFIDENCE = 0.95
"""Coverage of the interval of a mean difference, beyond which it counts as clear."""


@dataclass(frozen=True)
class Spread:
    """A number over seeds."""

    mean: float
    """Mean."""
    sd: float | None
    """Standard deviation (n - 1); None below two seeds."""
    n: int
    """Seeds in which it is defined."""

    @property
    def error(self) -> float | None:
        """Standard error of the mean."""
        return None if self.sd is None else self.sd / math.sqrt(self.n)

    @property
    def clear(self) -> bool:
        """Whether 0 is outside of the mean's interval by Student's t, at ``CONFIDENCE``."""
        from scipy.special import stdtrit

        return self.error is not None and abs(self.mean) > float(stdtrit(self.n - 1, (1 + CONFIDENCE) / 2)) * self.error


def spread(numbers: Sequence[float]) -> Spread | None:
    """Mean and standard deviation; None of nothing.

    >>> spread([1.0, 3.0])
    Spread(mean=2.0, sd=1.4142135623730951, n=2)
    """
    if not numbers:
        return None
    values = np.asarray(numbers, dtype=np.float64)
    return Spread(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Line:
    """One method of a cell."""

    title: str
    """As printed."""
    method: str
    """Name of the method; empty for the model before the request."""
    reweight: bool
    """REWEIGHT sampling."""
    part: str
    """Part of the table."""
    rows: Mapping[int, BenchmarkRow]
    """By seed."""

    def values(self, metric: str) -> dict[int, float]:
        """A metric in the seeds in which it is defined."""
        return {seed: row.values[metric] for seed, row in self.rows.items() if metric in row.values}

    def value(self, metric: str) -> Spread | None:
        """A metric over seeds."""
        return spread(list(self.values(metric).values()))

    def delta(self, metric: str) -> Spread | None:
        """Absolute difference to the retrained models, over seeds."""
        return spread([row.deltas[metric] for row in self.rows.values() if metric in row.deltas])

    @property
    def diverged(self) -> int:
        """Seeds without a model."""
        return sum(bool(row.diverged) for row in self.rows.values())

    @property
    def option(self) -> Mapping[str, float]:
        """Options of the row that are numbers."""
        return next(iter(self.rows.values())).option


@dataclass(frozen=True)
class Cell:
    """One request and ratio."""

    suite: str
    """Name of the suite."""
    request: str
    """Name of the request."""
    title: str
    """The request in words."""
    groups: int
    """Groups that it is sampled from."""
    ratio: float
    """Share that is forgotten."""
    represented: str
    """``least`` or ``most`` where the request takes from such a group; else empty."""
    lines: tuple[Line, ...]
    """Floor, retrained models, methods."""

    @property
    def name(self) -> str:
        """For file names."""
        return f"{self.request}-{self.ratio:g}"

    @property
    def seeds(self) -> list[int]:
        """Seeds of the model before the request."""
        floor = self.line(FLOOR)
        return sorted(floor.rows) if floor else []

    def line(self, part: str) -> Line | None:
        """The first line of a part."""
        return next((line for line in self.lines if line.part == part), None)

    def of_method(self, method: str, reweight: bool | None = None, title: str | None = None) -> Line | None:
        """The first line of a method, or of a title, beside the reference and the ceiling."""
        for line in self.lines:
            plain = line.part in (RETRAINED, METHOD) and line.method == method
            if plain and reweight in (None, line.reweight) and title in (None, line.title):
                return line
        return None

    @property
    def methods(self) -> list[Line]:
        """Lines of approximate methods."""
        return [line for line in self.lines if line.part == METHOD]

    def cost(self, line: Line) -> float | None:
        """Sample-gradients as a share of those of retraining (the ceiling's), mean over seeds."""
        ceiling = self.line(CEILING)
        if ceiling is None:
            return None
        both = [seed for seed in line.rows if seed in ceiling.rows and ceiling.rows[seed].sample_gradients]
        shares = [line.rows[seed].sample_gradients / ceiling.rows[seed].sample_gradients for seed in both]
        return float(np.mean(shares)) if shares else None


def cells_of(rows: Sequence[BenchmarkRow]) -> list[Cell]:
    """Cells in the order of the rows; lines part by part, methods in the order of the rows."""
    found: dict[tuple[str, str, float], dict[tuple[str, str], dict[int, BenchmarkRow]]] = {}
    for row in rows:
        lines = found.setdefault((row.suite, row.request, row.ratio), {})
        lines.setdefault((row.part, row.title), {})[row.seed] = row
    return [_cell(lines) for lines in found.values()]


def by_request(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The cells of each request, the smallest ratio first."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.request, []).append(cell)
    return {name: sorted(own, key=lambda cell: cell.ratio) for name, own in found.items()}


def _cell(lines: Mapping[tuple[str, str], Mapping[int, BenchmarkRow]]) -> Cell:
    made = [Line(title, _any(rows).method, _any(rows).reweight, part, dict(rows)) for (part, title), rows in lines.items()]
    made.sort(key=lambda line: PARTS.index(line.part))
    first = _any(made[0].rows)
    represented = str(first.facts.get("represented", ""))
    return Cell(first.suite, first.request, first.request_title, first.groups, first.ratio, represented, tuple(made))


def _any(rows: Mapping[int, BenchmarkRow]) -> BenchmarkRow:
    return next(iter(rows.values()))


def paired(one: Line | None, other: Line | None, metric: str) -> Spread | None:
    """One minus the other in the seeds in which both are defined."""
    if one is None or other is None:
        return None
    mine, theirs = one.values(metric), other.values(metric)
    return spread([mine[seed] - theirs[seed] for seed in mine if seed in theirs])


def best_by(lines: Sequence[Line], key: Callable[[Line], float | None]) -> Line | None:
    """The line with the smallest key; those without one never win."""
    keyed = [(found, line) for line in lines if (found := key(line)) is not None]
    return min(keyed, key=lambda pair: pair[0])[1] if keyed else None
