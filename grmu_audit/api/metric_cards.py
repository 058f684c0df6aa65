"""Use cases: what the metrics are; needs neither torch nor MLflow."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from grmu_audit.metrics.catalog import CATALOG, MetricSpec, spec


def metric_rows() -> tuple[list[str], list[list[str]]]:
    """Head and rows of the metric list."""
    head = ["metric", "says", "read it", "needs", "cost"]
    return head, [[name, spec.title, read_it(spec), spec.needs, spec.cost] for name, spec in CATALOG.items()]


def read_it(spec: MetricSpec) -> str:
    """How to read a value: ``higher``, ``lower``, ``as reference`` or ``near 0.5``."""
    words = {"reference": "as reference", "target": f"near {spec.target:g}" if spec.target is not None else ""}
    return words.get(spec.direction, spec.direction)


def describe_metric(name: str) -> dict[str, Any]:
    """The catalogue entry of a metric.

    Raises:
        NotFoundError: no such metric; the message names the nearest.
    """
    return {key: value for key, value in asdict(spec(name)).items() if key != "example"}
