"""Outcomes as values of the candidate."""

from __future__ import annotations

from collections.abc import Iterable

from grmu_audit.metrics import Outcome
from grmu_audit.records import MetricValue
from grmu_audit.records.audit import MeasureOptions
from grmu_audit.records.metric_value import CANDIDATE


def values_of(outcomes: Iterable[Outcome]) -> list[MetricValue]:
    """One value an outcome, with the default options."""
    return [outcome.value(CANDIDATE, MeasureOptions()) for outcome in outcomes]
