"""The result of a metric: a sufficient statistic, or the reason why there is none; and its conversion to a ``MetricValue``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from grmu_audit.intervals import AreaGap, Gap, GapChange, Minimum, MinimumChange, Statistic
from grmu_audit.metrics.catalog import CATALOG
from grmu_audit.metrics.catalog.spec import MetricSpec
from grmu_audit.metrics.checked_predictions import CheckedPredictions
from grmu_audit.records import Group, MeasureOptions, MetricValue, Subject

NEEDS_BEFORE, NO_BASELINE = "needs the model before unlearning", "no baseline to compare with"
"""Why metrics are undefined that compare with the model before, where there is none."""


@dataclass(frozen=True)
class Basis:
    """The basis of a value; recorded with it."""

    n: int
    """Samples."""
    smallest_cell: int | None = None
    """Samples in its smallest cell; ``n`` where it is one cell."""
    smallest_group: Group | None = None
    """Which group that cell is, where it is one."""
    empty_cells: tuple[Group, ...] = ()
    """Declared cells without a sample, which the value therefore does not cover."""
    persons: int | None = None
    """Distinct people behind the samples."""
    details: dict[str, Any] = field(default_factory=dict)
    """More numbers side by side."""


@dataclass(frozen=True)
class Outcome:
    """The result of a metric for one model, or for the change between two; subject and confidence are not part of it."""

    metric: str
    """Name in the catalogue."""
    basis: Basis
    """The basis of the value: samples, smallest cell, empty cells, people."""
    statistic: Statistic | None = None
    """From which value and interval follow; None where the metric is undefined."""
    reason: str = ""
    """Why it is undefined."""
    group: Group | None = None
    """The group, for a per-group value."""
    these_people: Statistic | None = None
    """The same estimate about the people of the forget set alone, samples of them as the unit; where people are known."""

    def __post_init__(self) -> None:
        if self.statistic is not None and not math.isfinite(self.statistic.estimate):
            object.__setattr__(self, "statistic", None)
            object.__setattr__(self, "reason", f"no estimate from {self.basis.n} samples")

    @classmethod
    def missing(cls, metric: str, reason: str, basis: Basis, group: Group | None = None) -> Outcome:
        """A value that does not exist, with the reason and the denominators."""
        return cls(metric, basis, None, reason, group)

    @property
    def estimate(self) -> float | None:
        """The estimate; None where the metric is undefined."""
        return None if self.statistic is None else self.statistic.estimate

    def with_options(self, options: MeasureOptions) -> Outcome:
        """The same outcome with the limits that the options ask for."""
        found, these = (s and with_options(s, options) for s in (self.statistic, self.these_people))
        return replace(self, statistic=found, these_people=these)

    @property
    def smallest(self) -> int:
        """Samples in the smallest cell."""
        return self.basis.n if self.basis.smallest_cell is None else self.basis.smallest_cell

    def value(self, subject: Subject, options: MeasureOptions) -> MetricValue:
        """The value of that subject, with its interval at the confidence and by the method of the options."""
        basis = self.basis
        statistic = self.with_options(options).statistic
        limits = None if statistic is None else statistic.interval(options.confidence)
        reason = self.reason if statistic is None else f"no interval from {basis.n} samples"
        return MetricValue(
            name=self.metric,
            subject=subject,
            value=self.estimate,
            n=basis.n,
            group=self.group,
            interval=limits,
            confidence=options.confidence,
            unit=CATALOG[self.metric].unit,
            incomplete=bool(basis.empty_cells),
            why_missing=None if limits is not None else reason or "no reason given",
            empty_cells=basis.empty_cells,
            smallest_cell=self.smallest,
            smallest_group=basis.smallest_group,
            subjects=basis.persons,
            statistic=statistic,
            details=basis.details | self._people(options) | self._outside_range(),
        )

    def _outside_range(self) -> dict[str, Any]:
        """What the value rests on that the coverage of its interval was not simulated for (docs/coverage.md)."""
        statistic, smallest = self.statistic, self.smallest
        if statistic is None:
            return {}
        said = [f"fewer than {FEWEST} samples in a cell"] if 0 < smallest < FEWEST else []
        cells = _cell_count(statistic)
        said += [f"{cells} cells, simulated up to {MOST_CELLS}"] if cells > MOST_CELLS else []
        return {"outside_simulated_range": "; ".join(said)} if said else {}

    def _people(self, options: MeasureOptions) -> dict[str, Any]:
        """Whom the interval speaks of, with the intervals about these people and about people like them."""
        if self.these_people is None or self.statistic is None:
            return {}
        alone = self.statistic == self.these_people
        these, like = (with_options(s, options).interval(options.confidence) for s in (self.these_people, self.statistic))
        found: dict[str, Any] = {
            "interval_about": THESE_PEOPLE if alone else PEOPLE_LIKE_THEM,
            THESE_PEOPLE: None if these is None else list(these),
            PEOPLE_LIKE_THEM: None if alone or like is None else list(like),
        }
        return {"people": found | ({"why_missing": ONE_PERSON} if alone else {})}


FEWEST, MOST_CELLS = 5, 20
"""Samples in a cell from which, and cells up to which, the coverage of intervals was simulated."""


def _cell_count(statistic: Statistic) -> int:
    """Cells that a gap, a minimum or their change rests on; 1 of every other statistic."""
    if isinstance(statistic, GapChange | MinimumChange):
        return _cell_count(statistic.left)
    if isinstance(statistic, Gap):
        return sum(map(len, statistic.terms))
    return len(statistic.cells) if isinstance(statistic, Minimum | AreaGap) else 1


THESE_PEOPLE, PEOPLE_LIKE_THEM = "these people", "people like them"
"""Whom a value of the forget set can speak of: those in it (their samples are the unit), or others like them (people are)."""
ONE_PERSON = "one person says nothing about others"
"""Why there is no interval about people like those of the forget set."""


def with_options(statistic: Statistic, options: MeasureOptions) -> Statistic:
    """The statistic with the limits that the options ask for."""
    return (statistic.exact() if options.interval_forms > 1 else statistic).by_method(options.interval_method)


def with_interval_method(value: MetricValue, method: str) -> MetricValue:
    """A stored value with limits of its proportions by another method (``wilson`` or ``clopper-pearson``)."""
    if value.statistic is None:
        return value
    statistic = value.statistic.by_method(method)
    return (
        value
        if statistic is value.statistic
        else replace(value, statistic=statistic, interval=statistic.interval(value.confidence))
    )


@dataclass(frozen=True)
class MetricPlugin:
    """A metric that another package adds under the entry-point group ``grmu_audit.metrics``."""

    spec: MetricSpec
    """Its catalogue entry; the entry point has the same name."""
    measure: Callable[[CheckedPredictions], Outcome]
    """A pure function of one model's checked predictions."""
