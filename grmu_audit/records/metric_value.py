"""One measured number with everything that it must not travel without."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, order=True)
class Group:
    """One cell of target x attribute.

    >>> Group(1, 0)
    Group(target=1, attribute=0)
    """

    target: int
    """Class index, from 0."""
    attribute: int
    """Index of the attribute value (or of the combination of several attributes), from 0."""


@dataclass(frozen=True)
class MetricValue:
    """A value or the reason why there is none; never NaN, never a 0 that means "undefined"."""

    name: str
    """Name in the metric catalogue, such as ``GA``; ``accuracy`` for a group's test accuracy."""
    subject: str
    """``candidate``, ``baseline``, ``reference#1``..., or a paired change ``candidate-baseline``, ``candidate-reference#1``."""
    value: float | None
    """The estimate; None when undefined."""
    n: int
    """Samples that the value rests on."""
    group: Group | None = None
    """The group, for a per-group value."""
    interval: tuple[float, float] | None = None
    """Lower and upper bound at ``confidence``; simultaneous over cells for gaps and minima."""
    confidence: float = 0.95
    """Coverage that ``interval`` is made for."""
    unit: str = "fraction"
    """``fraction`` or another unit of the catalogue."""
    incomplete: bool = False
    """True when a declared cell has no test sample, so that the value covers only the others."""
    why_missing: str | None = None
    """The reason, with denominators, when ``value`` is None or ``interval`` is."""
    empty_cells: tuple[Group, ...] = ()
    """The declared cells without a test sample."""
    smallest_cell: int | None = None
    """Samples in the smallest cell that the value rests on; rules compare it with ``minimum_group_size``."""
    smallest_group: Group | None = None
    """Which cell that is, where it is one group."""
    subjects: int | None = None
    """Distinct persons behind the n samples, where the data has a subject column."""
    statistic: dict[str, Any] | None = None
    """Sufficient statistic (``intervals.combined``): the interval at any other confidence follows from it alone."""
    details: dict[str, Any] = field(default_factory=dict)
    """More numbers side by side, such as the AUC of every attack score."""
