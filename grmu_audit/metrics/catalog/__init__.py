"""What every metric is called, says, hides, needs and ranges over; policies and reports take their words from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.metrics.catalog.predictions import FROM_PREDICTIONS
from grmu_audit.metrics.catalog.spec import MetricPlugin, MetricSpec
from grmu_audit.metrics.catalog.white_box import FROM_MODELS
from grmu_audit.utils.plugins import Registry, did_you_mean

__all__ = [
    "BUILT_IN",
    "CATALOG",
    "PLUGINS",
    "spec",
]


_SPECS = (*FROM_PREDICTIONS, *FROM_MODELS)
BUILT_IN: dict[str, MetricSpec] = {s.name: s for s in _SPECS}
"""Every metric that comes with the tool, in the order of reports."""
PLUGINS = Registry[MetricPlugin]("metric", "grmu_audit.metrics")
"""Metrics of other packages, by entry point; looked up when first needed."""


class _Catalog(Mapping[str, MetricSpec]):
    """The metrics that come with the tool, then those of other packages."""

    def __getitem__(self, name: str) -> MetricSpec:
        if name in BUILT_IN:
            return BUILT_IN[name]
        return _added()[name].spec

    def __iter__(self) -> Iterator[str]:
        return iter([*BUILT_IN, *_added()])

    def __len__(self) -> int:
        return len(BUILT_IN) + len(_added())


def _added() -> dict[str, MetricPlugin]:
    """Metrics of other packages.

    Raises:
        InputError: one has the name of a metric that comes with the tool, or another than its entry point.
    """
    found = dict(PLUGINS)
    for name, plugin in found.items():
        if name in BUILT_IN:
            raise InputError(f"a package adds a metric {name!r}, which comes with the tool: rename or remove it")
        if plugin.spec.name != name:
            raise InputError(f"the entry point {name!r} holds a metric named {plugin.spec.name!r}: both must be the same")
    return found


CATALOG: Mapping[str, MetricSpec] = _Catalog()
"""Every metric by name, in the order of reports."""


def spec(name: str) -> MetricSpec:
    """The entry of that name.

    Raises:
        NotFoundError: no such metric; the message names the nearest.

    >>> spec("EO").direction
    'lower'
    """
    if name not in CATALOG:
        raise NotFoundError(f"no metric {name!r}{did_you_mean(name, list(CATALOG))}; known: {', '.join(CATALOG)}")
    return CATALOG[name]
