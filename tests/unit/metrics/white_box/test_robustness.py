"""Accuracy under attack: drops, pairs and groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.outcomes import values_of
from support.white_box_models import problem

from grmu_audit.intervals import PairedCounts
from grmu_audit.metrics.catalog import CATALOG
from grmu_audit.metrics.catalog.white_box import WHITE_BOX_METRICS
from grmu_audit.metrics.white_box.robustness import measure_robustness, robustness_changes
from grmu_audit.records.white_box import ATTACKS


def test_accuracy_under_attack_is_counted_on_the_attacked_test_rows_whatever_their_order() -> None:
    f, outputs = problem()
    values = {(v.name, v.group): v for v in values_of(measure_robustness(f, outputs))}
    answer = outputs.adversarial_predictions["FGSM@0.03137"][np.argsort(outputs.ids)][np.argsort(np.argsort(f.predictions.ids))]
    test = f.predictions.split == 3
    right = (answer == f.predictions.target)[test]
    whole = values["FGSM@0.03137", None]
    assert (whole.value, whole.n) == (pytest.approx(right.mean()), 130)
    assert whole.details["drop"] == pytest.approx(f.correct[test].mean() - right.mean())
    low, high = whole.details["drop_interval"]
    assert low <= whole.details["drop"] <= high
    groups = [v for (name, group), v in values.items() if group is not None and name == "FGSM@0.03137"]
    assert sum(v.n for v in groups) == 130
    assert sum(v.value * v.n for v in groups if v.value is not None) == pytest.approx(right.sum())
    assert values["AA@0.03137", None].why_missing == "not installed"


def test_changes_are_paired_and_zero_against_itself() -> None:
    f, outputs = problem()
    (change,) = values_of(robustness_changes(f, (outputs, outputs)))
    assert (change.name, change.value, change.n) == ("FGSM@0.03137", 0.0, 130)
    assert isinstance(change.statistic, PairedCounts)


def test_every_white_box_metric_and_attack_is_in_the_catalogue() -> None:
    names = {metric.name for metric in WHITE_BOX_METRICS}
    assert set(ATTACKS) <= names <= CATALOG.keys()


def test_where_no_test_row_was_attacked_there_is_neither_a_value_nor_a_change() -> None:
    f, outputs = problem()
    untouched = replace(outputs, adversarial_predictions={"FGSM@0.03137": np.full(len(outputs.ids), -1)})
    found = [o for o in measure_robustness(f, untouched) if o.metric == "FGSM@0.03137"]
    assert [(o.estimate, o.reason) for o in found] == [
        (None, "no test sample was attacked (n = 0)"),
        *[(None, "no test sample of the group was attacked (n = 0)")] * 4,
    ]
    assert [o.group for o in found[1:]] == [f.group(code) for code in range(4)]
    assert list(robustness_changes(f, (outputs, untouched))) == []
    assert list(robustness_changes(f, (untouched, outputs))) == []
