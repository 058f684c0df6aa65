"""Metrics: pure functions from stored predictions to values that know their interval, or why they are undefined."""

from grmu_audit.metrics.catalog import CATALOG, spec
from grmu_audit.metrics.catalog.spec import MetricSpec
from grmu_audit.metrics.checked_predictions import Facts, align, facts
from grmu_audit.metrics.measure import compare, measure
from grmu_audit.metrics.references import closeness, mean_changes

__all__ = [
    "CATALOG",
    "Facts",
    "MetricSpec",
    "align",
    "closeness",
    "compare",
    "facts",
    "mean_changes",
    "measure",
    "spec",
]
