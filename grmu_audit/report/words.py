"""A metric in plain words, from the metric catalogue; a metric that the catalogue does not know keeps its name."""

from __future__ import annotations

from dataclasses import dataclass

from grmu_audit.errors import NotFoundError
from grmu_audit.metrics.catalog import spec
from grmu_audit.report.clean import clean, name


@dataclass(frozen=True)
class MetricWords:
    """What a reader is told of a metric."""

    title: str
    """Name in words."""
    says: str
    """What it measures, one plain sentence."""
    hides: str
    """What it hides."""
    direction: str
    """``higher``, ``lower``, ``reference`` or ``target``; empty when unknown."""
    target: float | None
    """The value to be near to, for direction ``target``."""
    unit: str
    """Unit of its values."""
    part: str = ""
    """Part of the data that it speaks of: ``retain``, ``forget``, ``val`` or ``test``; empty when unknown."""


def metric_words(metric: str) -> MetricWords:
    """Words of a metric.

    >>> metric_words("my-own").title
    'my-own'
    """
    try:
        known = spec(metric)
    except NotFoundError:
        return MetricWords(name(metric), "", "", "", None, "fraction")
    return MetricWords(
        clean(known.title), clean(known.says), clean(known.hides), known.direction, known.target, known.unit, known.part
    )
