"""Labels recovered from features, distances between models, relearning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.probed import problem

from grmu_audit.metrics.white_box.representation import distances, recovered, recoveries, recovery_changes, relearn
from grmu_audit.records import CANDIDATE


def test_labels_are_found_where_features_hold_them_and_not_where_they_do_not() -> None:
    f, probes = problem()
    found = {v.name: v for v in recoveries(f, recovered(f, probes), subject=CANDIDATE, confidence=0.95) if v.group is None}
    assert all(v.value is not None and v.value > 0.9 for v in found.values())
    assert found["KNN"].n == 60
    assert found["PROTO"].n == 50
    rng = np.random.default_rng(1)
    assert probes.features is not None
    noise = replace(probes, features=rng.normal(size=probes.features.shape).astype(np.float32))
    lost = {v.name: v for v in recoveries(f, recovered(f, noise), subject=CANDIDATE, confidence=0.95) if v.group is None}
    assert all(v.value is not None and 0.25 < v.value < 0.75 for v in lost.values())
    changes = list(recovery_changes(f, (recovered(f, probes), recovered(f, noise)), subject="c", confidence=0.95))
    assert all(c.interval is not None and c.interval[0] > 0 for c in changes)


def test_distances_to_itself_are_none_and_missing_sides_say_why() -> None:
    f, probes = problem()
    same = {
        v.name: v for v in distances(f, probes, {"reference#1": (f, probes)}, subject=CANDIDATE, confidence=0.95) if not v.group
    }
    assert same["CKA"].value == pytest.approx(1.0)
    assert same["JS"].value == pytest.approx(0.0, abs=1e-12)
    assert same["ACTIVATION_DISTANCE"].value == pytest.approx(0.0, abs=1e-12)
    other = problem(7)
    far = {v.name: v for v in distances(f, probes, {"reference#1": other}, subject=CANDIDATE, confidence=0.95) if not v.group}
    assert far["CKA"].interval is not None
    assert far["CKA"].interval[1] < 0.7
    alone = list(distances(f, probes, {}, subject=CANDIDATE, confidence=0.95))
    assert {v.why_missing for v in alone} == {"no reference model was given"}


def test_learning_again_counts_epochs_and_a_run_that_never_gets_there_is_undefined() -> None:
    _, probes = problem()
    curves = np.array([[2.0, 0.5, 0.09, 0.01], [2.0, 0.05, 0.01, 0.01]])
    value = relearn(replace(probes, relearn=curves), 60, subject=CANDIDATE, confidence=0.95)
    assert value.value == 1.5
    never = relearn(replace(probes, relearn=curves + 1), 60, subject=CANDIDATE, confidence=0.95)
    assert never.value is None
    assert "did not fall below 0.1 in 3 epochs" in (never.why_missing or "")
