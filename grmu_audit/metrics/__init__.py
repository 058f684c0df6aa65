"""Metrics: pure functions from stored predictions to outcomes that know their interval, or why they are undefined."""

from grmu_audit.metrics.catalog import CATALOG, spec
from grmu_audit.metrics.catalog.spec import MetricSpec
from grmu_audit.metrics.changes import ModelResult
from grmu_audit.metrics.checked_predictions import CheckedPredictions, align, check_predictions
from grmu_audit.metrics.measure import Measurements, compare, measure_models, measure_one, measure_predictions
from grmu_audit.metrics.outcome import Basis, MetricPlugin, Outcome
from grmu_audit.metrics.references import closeness, mean_changes

__all__ = [
    "CATALOG",
    "Basis",
    "CheckedPredictions",
    "Measurements",
    "MetricPlugin",
    "MetricSpec",
    "ModelResult",
    "Outcome",
    "align",
    "check_predictions",
    "closeness",
    "compare",
    "mean_changes",
    "measure_models",
    "measure_one",
    "measure_predictions",
    "spec",
]
