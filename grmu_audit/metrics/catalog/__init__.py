"""Name, meaning, unit, level and topic of every metric; policies and reports take their words from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.metrics.catalog.durability import DURABILITY_METRICS
from grmu_audit.metrics.catalog.predictions import PREDICTION_METRICS
from grmu_audit.metrics.catalog.shadow import SHADOW_METRICS
from grmu_audit.metrics.catalog.spec import Level, MetricSpec, ThirdPartyMetric, Topic, check_level
from grmu_audit.metrics.catalog.subgroups import CONDITIONAL_METRICS
from grmu_audit.metrics.catalog.white_box import WHITE_BOX_METRICS
from grmu_audit.records import NotMeasured
from grmu_audit.utils.plugins import Registry, did_you_mean

__all__ = [
    "BUILT_IN",
    "CATALOG",
    "PLUGINS",
    "Level",
    "Topic",
    "check_level",
    "level_needed",
    "not_measured_at",
    "spec",
    "topic",
]

BUILT_IN: dict[str, MetricSpec] = {
    s.name: s for s in (*PREDICTION_METRICS, *CONDITIONAL_METRICS, *WHITE_BOX_METRICS, *DURABILITY_METRICS, *SHADOW_METRICS)
}
"""Every metric that comes with the tool, in the order of reports."""
PLUGINS = Registry[ThirdPartyMetric]("metric", "grmu_audit.metrics")
"""Third-party metrics, by entry point; looked up when first needed."""


class _Catalog(Mapping[str, MetricSpec]):
    """The metrics that come with the tool, then third-party metrics."""

    def __getitem__(self, name: str) -> MetricSpec:
        if name in BUILT_IN:
            return BUILT_IN[name]
        return _third_party()[name].spec

    def __iter__(self) -> Iterator[str]:
        return iter([*BUILT_IN, *_third_party()])

    def __len__(self) -> int:
        return len(BUILT_IN) + len(_third_party())


def _third_party() -> dict[str, ThirdPartyMetric]:
    """Third-party metrics.

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


def topic(metric: str) -> Topic:
    """The topic of a metric; of one that the catalogue does not know, that of its family, such as another radius of an attack.

    >>> topic("EO").value, topic("FGSM@0.5").value, topic("UNKNOWN").value
    ('utility', 'robustness', 'other')
    """
    if metric in CATALOG:
        return CATALOG[metric].topic
    family = metric.partition("@")[0]
    return next((s.topic for s in BUILT_IN.values() if s.name.partition("@")[0] == family), Topic.OTHER)


def level_needed(metric: str, made_at: object) -> Level | None:
    """The level that a metric needs, where an audit at level ``made_at`` does not measure it; else None.

    >>> level_needed("RELEARN", "standard").value, level_needed("RELEARN", "deep"), level_needed("RELEARN", None)
    ('deep', None, None)
    """
    if metric not in CATALOG or made_at not in list(Level):
        return None
    needed = CATALOG[metric].level
    return None if Level(str(made_at)).includes(needed) else needed


_CHECKS = {
    "robustness": ("FGSM@0.03137", "accuracy under FGSM and PGD"),
    "layers": ("FAIRNESS_GAP", "fairness-gap of the layers"),
    "representations": ("CKA", "CKA, nearest neighbours, probes, prototypes"),
    "durability": ("RETURN_ACC", "whether the forget set comes back after fine-tuning, rounding and pruning"),
    "AutoAttack": ("AA@0.03137", "accuracy under AutoAttack"),
    "relearn": ("RELEARN", "epochs until the forget set is relearned"),
    "shadow models": ("RMIA_AUC", "RMIA, LiRA, remaining share, U-LiRA, RULI, forgetting epsilon, KLOM, SWAP"),
}
"""Checks that an audit names where it leaves them out: one of their metrics, and what they measure."""


def not_measured_at(level: str) -> tuple[NotMeasured, ...]:
    """What an audit of that level does not measure.

    >>> [item.name for item in not_measured_at("standard")]
    ['AutoAttack', 'relearn', 'shadow models']
    """
    made = check_level(level)
    return tuple(
        NotMeasured(name, f"the audit was made at level {level}; level {BUILT_IN[metric].level} measures {what}")
        for name, (metric, what) in _CHECKS.items()
        if not made.includes(BUILT_IN[metric].level)
    )
