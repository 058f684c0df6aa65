"""Gaps between groups against fairlearn and loops."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equal_opportunity_difference
from support.random_predictions import made, named

from grmu_audit.metrics import measure_predictions
from grmu_audit.records import Group
from grmu_audit.records.audit import MeasureOptions


@pytest.mark.parametrize("attributes", [2, 3])
def test_gaps_agree_with_fairlearn(attributes):
    p = made(n=2000, attributes=attributes, seed=4)
    rows = p.mask("test")
    columns = {"y_true": p.target[rows], "y_pred": p.prediction[rows], "sensitive_features": p.attribute[rows]}
    values = measure_predictions(p)
    assert named(values, "DP").value == pytest.approx(demographic_parity_difference(**columns), abs=1e-12)
    tpr = equal_opportunity_difference(**columns)
    flipped = {"y_true": 1 - p.target[rows], "y_pred": 1 - p.prediction[rows], "sensitive_features": p.attribute[rows]}
    assert named(values, "EP").value == pytest.approx(tpr, abs=1e-12)
    assert named(measure_predictions(p, MeasureOptions(positive_class=0)), "EP").value == pytest.approx(
        equal_opportunity_difference(**flipped), abs=1e-12
    )
    assert named(values, "EO").value == pytest.approx((tpr + equal_opportunity_difference(**flipped)) / 2, abs=1e-12)


def test_multi_class_gaps_and_the_worst_group_agree_with_loops():
    p = made(n=3000, classes=4, attributes=3, seed=2)
    rows = p.mask("test")
    y, s, right, yhat = p.target[rows], p.attribute[rows], p.correct[rows], p.prediction[rows]
    table = np.array([[right[(y == c) & (s == a)].mean() for a in range(3)] for c in range(4)])
    rates = np.array([[(yhat[s == a] == c).mean() for a in range(3)] for c in range(4)])
    values = measure_predictions(p)
    assert named(values, "EO").value == pytest.approx(np.ptp(table, axis=1).mean(), abs=1e-12)
    assert named(values, "EP").value == pytest.approx(np.ptp(table, axis=1).max(), abs=1e-12)
    assert named(values, "DP").value == pytest.approx(np.ptp(rates, axis=1).max(), abs=1e-12)
    assert named(values, "WG").value == pytest.approx(table.min(), abs=1e-12)


def test_paper_variant_binarises_against_the_dominant_group():
    p = made(n=3000, classes=4, attributes=3, seed=2)
    (g,) = (Group(2, 1),)
    values = measure_predictions(p, MeasureOptions(gap_variant="paper"), (g,))
    rows = p.mask("test")
    y, s, right = p.target[rows] == 2, p.attribute[rows] == 1, p.correct[rows]
    wanted = np.mean([abs(right[(y == c) & s].mean() - right[(y == c) & ~s].mean()) for c in (True, False)])
    assert named(values, "EO").value == pytest.approx(wanted, abs=1e-12)
    assert named(values, "EO").details["variant"] == "paper"
    assert named(measure_predictions(p, dominant_groups=(g,)), "EO").details["paper"] == pytest.approx(wanted, abs=1e-12)
    called = p.prediction[rows] == 2
    assert named(values, "DP").value == pytest.approx(abs(called[s].mean() - called[~s].mean()), abs=1e-12)
