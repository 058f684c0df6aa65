"""Metrics of other packages: measured like the tool's own, and never able to pass by crashing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from grmu_audit.errors import GrmuAuditError
from grmu_audit.metrics.catalog import CATALOG, PLUGINS
from grmu_audit.metrics.facts import Facts
from grmu_audit.metrics.intervals import estimate
from grmu_audit.metrics.spec import MetricPlugin
from grmu_audit.metrics.values import Basis, defined, undefined
from grmu_audit.records import MetricValue

_FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, GrmuAuditError)


def added(f: Facts, *, subject: str, confidence: float) -> Iterator[MetricValue]:
    """The value of every added metric; one that fails, or leaves its range, is undefined with the reason."""
    for name in [name for name, _ in PLUGINS if name in CATALOG]:
        yield _value(f, PLUGINS.get(name), subject=subject, confidence=confidence)


def _value(f: Facts, plugin: MetricPlugin, *, subject: str, confidence: float) -> MetricValue:
    spec = plugin.spec
    nothing = undefined(spec.name, "", Basis(0), subject=subject, confidence=confidence)
    try:
        found = plugin.measure(f)
        if found.statistic is None:
            why = found.why or "no reason given"
            return replace(undefined(spec.name, why, found.basis, subject=subject, confidence=confidence), unit=spec.unit)
        point = estimate(found.statistic)
        if math.isfinite(point) and not spec.low <= point <= spec.high:
            return replace(nothing, why_missing=f"its code gave {point!r}, outside its range [{spec.low:g}, {spec.high:g}]")
        value = defined(spec.name, found.statistic, found.basis, subject=subject, confidence=confidence)
    except _FAILURES as error:
        return replace(nothing, why_missing=f"its code failed: {type(error).__name__}: {str(error)[:200]}")
    return replace(value, unit=spec.unit)
