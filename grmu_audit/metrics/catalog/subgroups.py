"""The catalogue's entries of conditional metrics: gaps between attribute values within strata of control attributes."""

from __future__ import annotations

from dataclasses import replace

from grmu_audit.metrics.catalog.spec import MetricSpec, Topic

CONDITIONAL = {
    "CONDITIONAL_DP": "DP",
    "CONDITIONAL_EO": "EO",
    "CONDITIONAL_EP": "EP",
    "CONDITIONAL_IMPACT_RATIO": "IMPACT_RATIO",
    "CONDITIONAL_ACCURACY_GAP": "accuracy",
}
"""Conditional metrics, and what each takes within every stratum."""
_EXAMPLE = """from dataclasses import replace

import numpy as np

from grmu_audit.metrics import check_predictions
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.metrics.subgroups.conditional import measure_conditional
from grmu_audit.records import MeasureOptions

p = example()
age = np.arange(len(p)) % 2  # a second attribute, beside the one of the example
crossed = replace(p, attribute=p.attribute * 2 + age, attributes=4, factors=(("sex", 2), ("age", 2)))
outcomes = measure_conditional(check_predictions(crossed, MeasureOptions(control_attributes=("age",))))
found = next(outcome for outcome in outcomes if outcome.metric == "{name}")
low, high = found.statistic.interval(0.95)
print(f"{found.metric} = {found.estimate:.3f}, 95 % interval {low:.3f} to {high:.3f}, n = {found.basis.n}")"""
_SOURCE = "Corbett-Davies et al. (2017), conditional statistical parity; fairlearn, MetricFrame with control_features"
_HIDES = "It names one stratum, and a control attribute may itself carry the disadvantage, which the strata then hide."
_NEEDS = "test rows of two or more attribute values in every stratum, each attribute in a column of its own"
_UNDEFINED = (
    "no stratum has {what}; incomplete where one stratum has none, which is named with its reason; absent where no control"
    " attributes are named"
)
_PREDICTED = "two attribute values with test rows and more than one predicted class"


def _entry(name: str, title: str, says: str, formula: str, what: str) -> MetricSpec:
    """An entry of what all conditional metrics share; ``what``: what a stratum must have."""
    return MetricSpec(
        name,
        title,
        f"{says}, in the stratum where they are furthest apart.",
        _HIDES,
        formula,
        _SOURCE,
        _NEEDS,
        direction="lower",
        undefined=_UNDEFINED.format(what=what),
        example=_EXAMPLE.replace("{name}", name),
        topic=Topic.UTILITY,
    )


CONDITIONAL_METRICS: tuple[MetricSpec, ...] = (
    _entry(
        "CONDITIONAL_DP",
        "Conditional demographic-parity gap",
        "How far apart the attribute values are in how often a class is predicted",
        "max_c DP on test rows with control value c",
        _PREDICTED,
    ),
    _entry(
        "CONDITIONAL_EO",
        "Conditional equalized-odds gap",
        "How far apart the attribute values are in being classified correctly",
        "max_c EO on test rows with control value c",
        f"{_PREDICTED}, and more than one true class",
    ),
    _entry(
        "CONDITIONAL_EP",
        "Conditional equal-opportunity gap",
        "How far apart the attribute values are in how often the positive class is found",
        "max_c EP on test rows with control value c",
        f"{_PREDICTED}, both values with rows of the positive class",
    ),
    replace(
        _entry(
            "CONDITIONAL_IMPACT_RATIO",
            "Conditional impact ratio",
            "How often the attribute value that is selected least is selected, as a share of the one that is selected most",
            "min_c IMPACT_RATIO on test rows with control value c",
            "two attribute values with test rows of which somebody is selected",
        ),
        needs=f"{_NEEDS}; two classes",
        direction="higher",
    ),
    _entry(
        "CONDITIONAL_ACCURACY_GAP",
        "Conditional accuracy gap",
        "How far apart the attribute values are in accuracy",
        "max_c (max_s - min_s of P(yhat = y given s, c)) on test",
        "two attribute values with test rows",
    ),
)
"""Every conditional metric, in the order of reports."""
