"""Metrics: pure functions from stored predictions to values that know their interval, or why they are undefined."""

from grmu_audit.metrics.catalog import CATALOG, MetricSpec, spec
from grmu_audit.metrics.changes import align, closeness, compare, mean_changes
from grmu_audit.metrics.facts import Facts, facts
from grmu_audit.metrics.intervals import estimate, interval
from grmu_audit.metrics.suite import measure

__all__ = [
    "CATALOG",
    "Facts",
    "MetricSpec",
    "align",
    "closeness",
    "compare",
    "estimate",
    "facts",
    "interval",
    "mean_changes",
    "measure",
    "spec",
]
