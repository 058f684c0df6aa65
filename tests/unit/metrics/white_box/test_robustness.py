"""Values made of probes: drops, pairs, groups, orders, recoveries, correlations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from grmu_audit.errors import InputError
from grmu_audit.metrics.catalog import CATALOG
from grmu_audit.metrics.catalog.white_box import WHITE_BOX_METRICS
from grmu_audit.metrics.checked_predictions import Facts, facts, in_order
from grmu_audit.metrics.white_box.layer_gaps import correlation
from grmu_audit.metrics.white_box.representation import distances, recovered, recoveries, recovery_changes, relearn
from grmu_audit.metrics.white_box.robustness import under_attack, under_attack_changes
from grmu_audit.records import Predictions
from grmu_audit.records.white_box import ATTACKS, Probes

N = 400


def problem(seed: int = 0) -> tuple[Facts, Probes]:
    """400 samples of two classes and attributes; features hold the class, answers under attack fall for a third."""
    rng = np.random.default_rng(seed)
    target, attribute = rng.integers(0, 2, N), rng.integers(0, 2, N)
    logits = rng.normal(size=(N, 2)) + 3 * np.eye(2)[target]
    ids = np.array([f"p{i}" for i in range(N)])
    split = np.repeat([0, 1, 2, 3], [150, 60, 60, 130])
    p = Predictions(ids, split, target, attribute, logits.argmax(1), 2, 2, logits=logits, subject=np.arange(N) // 2)
    answer = np.where(rng.random(N) < 1 / 3, 1 - target, p.prediction)
    answer[split != 3] = -1
    features = (rng.normal(size=(N, 6)) + 4 * np.eye(6)[target]).astype(np.float32)
    shuffled = rng.permutation(N)
    probes = Probes(
        ids[shuffled], {"FGSM@0.03137": answer[shuffled]}, features[shuffled], missing={"AA@0.03137": "not installed"}
    )
    return facts(p), probes


def test_accuracy_under_attack_is_counted_on_the_attacked_test_rows_whatever_their_order() -> None:
    f, probes = problem()
    values = {(v.name, v.group): v for v in under_attack(f, probes, subject="candidate", confidence=0.95)}
    answer = probes.attacked["FGSM@0.03137"][np.argsort(probes.ids)][np.argsort(np.argsort(f.predictions.ids))]
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
    f, probes = problem()
    (change,) = under_attack_changes(f, (probes, probes), subject="candidate-baseline", confidence=0.95)
    assert (change.name, change.value, change.n) == ("FGSM@0.03137", 0.0, 130)
    assert change.statistic is not None
    assert change.statistic["kind"] == "paired"


def test_probes_of_other_samples_are_refused() -> None:
    f, probes = problem()
    with pytest.raises(InputError, match="measure them again"):
        in_order(f.predictions.ids, replace(probes, ids=np.roll(probes.ids, 1)[: N // 2]))


def test_labels_are_found_where_features_hold_them_and_not_where_they_do_not() -> None:
    f, probes = problem()
    found = {v.name: v for v in recoveries(f, recovered(f, probes), subject="candidate", confidence=0.95) if v.group is None}
    assert all(v.value is not None and v.value > 0.9 for v in found.values())
    assert found["KNN"].n == 60
    assert found["PROTO"].n == 50
    rng = np.random.default_rng(1)
    assert probes.features is not None
    noise = replace(probes, features=rng.normal(size=probes.features.shape).astype(np.float32))
    lost = {v.name: v for v in recoveries(f, recovered(f, noise), subject="candidate", confidence=0.95) if v.group is None}
    assert all(v.value is not None and 0.25 < v.value < 0.75 for v in lost.values())
    changes = list(recovery_changes(f, (recovered(f, probes), recovered(f, noise)), subject="c", confidence=0.95))
    assert all(c.interval is not None and c.interval[0] > 0 for c in changes)


def test_distances_to_itself_are_none_and_missing_sides_say_why() -> None:
    f, probes = problem()
    same = {
        v.name: v for v in distances(f, probes, {"reference#1": (f, probes)}, subject="candidate", confidence=0.95) if not v.group
    }
    assert same["CKA"].value == pytest.approx(1.0)
    assert same["JS"].value == pytest.approx(0.0, abs=1e-12)
    assert same["ACTIVATION_DISTANCE"].value == pytest.approx(0.0, abs=1e-12)
    other = problem(7)
    far = {v.name: v for v in distances(f, probes, {"reference#1": other}, subject="candidate", confidence=0.95) if not v.group}
    assert far["CKA"].interval is not None
    assert far["CKA"].interval[1] < 0.7
    alone = list(distances(f, probes, {}, subject="candidate", confidence=0.95))
    assert {v.why_missing for v in alone} == {"no reference model was given"}


def test_learning_again_counts_epochs_and_a_run_that_never_gets_there_is_undefined() -> None:
    _, probes = problem()
    curves = np.array([[2.0, 0.5, 0.09, 0.01], [2.0, 0.05, 0.01, 0.01]])
    value = relearn(replace(probes, relearn=curves), 60, subject="candidate", confidence=0.95)
    assert value.value == 1.5
    never = relearn(replace(probes, relearn=curves + 1), 60, subject="candidate", confidence=0.95)
    assert never.value is None
    assert "did not fall below 0.1 in 3 epochs" in (never.why_missing or "")


def test_correlation_agrees_with_scipy_and_blocks_take_out_what_differs_between_them() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=12), rng.normal(size=12)
    found, oracle = correlation(list(x), list(y)), spearmanr(x, y)
    assert found.value == pytest.approx(oracle.statistic)
    assert found.p_value == pytest.approx(oracle.pvalue, abs=0.03)
    block = [0] * 6 + [1] * 6
    shifted = np.concatenate([np.arange(6), 100 + np.arange(6)]).astype(float)
    falling = np.concatenate([-np.arange(6), 100 - np.arange(6)]).astype(float)
    assert correlation(list(shifted), list(falling), block).value == pytest.approx(-1)
    assert correlation(list(shifted), list(falling)).value > 0
    with pytest.raises(InputError, match="four points"):
        correlation([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])


def test_every_deep_metric_and_attack_is_in_the_catalogue() -> None:
    names = {entry.name for entry in WHITE_BOX_METRICS}
    assert CATALOG.keys() >= names >= set(ATTACKS)
