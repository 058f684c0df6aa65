"""From a sufficient statistic, or the reason why there is none, to a ``MetricValue``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from grmu_audit.intervals.combined import estimate, interval, with_method
from grmu_audit.intervals.statistic import Statistic
from grmu_audit.records import Group, MetricValue, Subject


@dataclass(frozen=True)
class Basis:
    """What a value rests on; travels with it into the record."""

    n: int
    """Samples."""
    smallest_cell: int | None = None
    """Samples in its smallest cell; ``n`` where it is one cell."""
    smallest_group: Group | None = None
    """Which group that cell is, where it is one."""
    empty_cells: tuple[Group, ...] = ()
    """Declared cells without a sample, which the value therefore does not cover."""
    subjects: int | None = None
    """Distinct persons behind the samples."""
    details: dict[str, Any] = field(default_factory=dict)
    """More numbers side by side."""


def defined(
    name: str, statistic: Statistic, basis: Basis, *, subject: Subject, confidence: float, group: Group | None = None
) -> MetricValue:
    """The value of ``statistic`` with its interval; a statistic without an estimate becomes an undefined value."""
    value = estimate(statistic)
    if not math.isfinite(value):
        return undefined(name, f"no estimate from {basis.n} samples", basis, subject=subject, confidence=confidence, group=group)
    made = undefined(name, "", basis, subject=subject, confidence=confidence, group=group)
    limits = interval(statistic, confidence)
    why = None if limits is not None else f"no interval from {basis.n} samples"
    return replace(made, value=value, interval=limits, why_missing=why, statistic=statistic)


def undefined(
    name: str, why: str, basis: Basis, *, subject: Subject, confidence: float, group: Group | None = None
) -> MetricValue:
    """A value that does not exist, with the reason and the denominators."""
    return MetricValue(
        name=name,
        subject=subject,
        value=None,
        n=basis.n,
        group=group,
        confidence=confidence,
        incomplete=bool(basis.empty_cells),
        why_missing=why,
        empty_cells=basis.empty_cells,
        smallest_cell=basis.n if basis.smallest_cell is None else basis.smallest_cell,
        smallest_group=basis.smallest_group,
        subjects=basis.subjects,
        details=basis.details,
    )


def by_method(value: MetricValue, method: str) -> MetricValue:
    """The same value with limits of its proportions by another method (``wilson`` or ``clopper-pearson``)."""
    if method == "wilson" or value.statistic is None:
        return value
    statistic = with_method(value.statistic, method)
    return replace(value, statistic=statistic, interval=interval(statistic, value.confidence))


@dataclass(frozen=True)
class Outcome:
    """What a metric found in one model's predictions."""

    basis: Basis
    """What the value rests on: samples, smallest cell, empty cells."""
    statistic: dict[str, Any] | None = None
    """Sufficient statistic (``intervals.combined``), from which value and interval follow; None where it is undefined."""
    why: str = ""
    """Why it is undefined."""
