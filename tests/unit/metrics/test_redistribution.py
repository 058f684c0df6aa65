"""Who gained from the forgetting, other groups on the same predictions, and the distribution of retrained models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student
from support.measured_audits import measured
from support.outcomes import values_of

from grmu_audit.auditing.scoring import PredictionFiles, score
from grmu_audit.errors import InputError
from grmu_audit.metrics import check_predictions
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.metrics.checked_predictions import regroup
from grmu_audit.metrics.redistribution import measure_redistribution
from grmu_audit.metrics.references import retrain_distribution
from grmu_audit.records import Group, Predictions, reference


def three_classes(seed=0):
    """Baseline and candidate on three classes x two attribute values; (0, 0) asks to be forgotten, (0, 1) gains most."""
    rng, n = np.random.default_rng(seed), 9000
    target, attribute = rng.integers(0, 3, n), rng.integers(0, 2, n)
    split = rng.choice([0, 2, 3], n, p=[0.4, 0.1, 0.5])
    split[(target == 0) & (attribute == 0) & (split == 0)] = 1
    logits = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[target]
    before = Predictions(np.arange(n).astype(str), split.astype(np.int64), target, attribute, logits.argmax(axis=1), 3, 2, logits)
    gains = {(0, 1): 0.6, (1, 0): 0.2, (0, 0): -1.5, (2, 1): -0.3}
    shift = np.array([gains.get((int(y), int(s)), 0.0) for y, s in zip(target, attribute, strict=True)])
    changed = logits + shift[:, None] * np.eye(3)[target]
    return before, replace(before, logits=changed, prediction=changed.argmax(axis=1))


def test_share_of_the_gain_follows_its_definition():
    before, after = three_classes()
    (found,) = values_of([measure_redistribution(check_predictions(after), check_predictions(before))])
    rows = before.mask("test")
    change = {}
    for y in range(3):
        for s in range(2):
            mine = rows & (before.target == y) & (before.attribute == s)
            change[y, s] = after.correct[mine].mean() - before.correct[mine].mean()
    others = {g: d for g, d in change.items() if g != (0, 0)}
    total = sum(max(d, 0) for d in others.values())
    assert found.details["nearest"] == {"target": 0, "attribute": 1}
    assert found.value == pytest.approx(max(change[0, 1], 0) / total)
    assert found.details["total_gain"] == pytest.approx(total)
    assert found.details["most_gained"] == {"target": 0, "attribute": 1}
    assert found.details["most_lost"] == {"target": 2, "attribute": 1}
    assert found.interval[0] <= found.value <= found.interval[1]
    assert sum(row["share"] for row in found.details["groups"]) == pytest.approx(1)


def test_the_interval_narrows_with_samples():
    before, after = three_classes()
    columns = ("split", "target", "attribute", "prediction", "logits")
    big = [
        replace(p, ids=np.arange(8 * len(p)).astype(str), **{c: np.repeat(getattr(p, c), 8, axis=0) for c in columns})
        for p in (before, after)
    ]
    narrow = measure_redistribution(check_predictions(big[1]), check_predictions(big[0])).statistic.interval(0.95)
    wide = measure_redistribution(check_predictions(after), check_predictions(before)).statistic.interval(0.95)
    assert narrow[1] - narrow[0] < 0.6 * (wide[1] - wide[0])


def test_undefined_without_a_baseline_a_forget_set_or_a_gain():
    before, after = three_classes()
    assert "no baseline" in measure_redistribution(check_predictions(after), None).reason
    none = [replace(p, split=np.where(p.split == 1, 0, p.split)) for p in (before, after)]
    assert "no forget sample" in measure_redistribution(check_predictions(none[1]), check_predictions(none[0])).reason
    assert measure_redistribution(check_predictions(before), check_predictions(before)).reason == "no other group gained"
    made = measured(after, before)
    assert made.metric("GAIN_SHARE").value == pytest.approx(
        measure_redistribution(check_predictions(after), check_predictions(before)).estimate
    )


def test_retrain_distribution_agrees_with_scipy():
    found = retrain_distribution(0.9, [0.80, 0.82, 0.81, 0.79])
    sd = np.std([0.80, 0.82, 0.81, 0.79], ddof=1)
    assert found["prediction_interval"] == pytest.approx(student.interval(0.95, 3, 0.805, sd * np.sqrt(1.25)))
    assert found["p_value"] == pytest.approx(2 * student.sf((0.9 - 0.805) / (sd * np.sqrt(1.25)), 3))
    assert found["inside"] is False
    assert retrain_distribution(0.5, [0.5, 0.6])["inside"] is None
    assert retrain_distribution(0.5, [0.5, 0.5, 0.5])["p_value"] is None


def test_several_references_give_mean_spread_and_equivalence():
    retrained = [example("retrained", seed=i) for i in range(4)]
    made = measured(example(), references=retrained)
    change = made.metric("TA", reference(0).as_change())
    each = [p.correct[p.mask("test")].mean() for p in retrained]
    own = example().correct[example().mask("test")].mean()
    assert change.value == pytest.approx(own - np.mean(each))
    assert change.details["sd_over_references"] == pytest.approx(np.std(each, ddof=1))
    found = change.details["retrain_distribution"]
    direct = retrain_distribution(own, each)
    assert found["p_value"] == pytest.approx(direct["p_value"])
    assert found["mean"] == pytest.approx(np.mean(each))
    assert found["prediction_interval"] == pytest.approx(direct["prediction_interval"])
    assert found["inside"] == direct["inside"]
    same = measured(example("retrained", seed=9), references=retrained)
    assert same.metric("TA", reference(0).as_change()).details["retrain_distribution"]["inside"] is True


@pytest.fixture
def two_attributes(tmp_path):
    rng, n = np.random.default_rng(3), 1200
    table = {
        "id": [f"s{i}" for i in range(n)],
        "split": rng.choice(["retain", "forget", "val", "test"], n, p=[0.4, 0.1, 0.1, 0.4]),
        "target": rng.integers(0, 2, n),
        "attribute_age": rng.integers(0, 3, n),
        "attribute_sex": rng.integers(0, 2, n),
    }
    table["prediction"] = np.where(rng.random(n) < 0.7 + 0.1 * table["attribute_sex"], table["target"], 1 - table["target"])
    import pandas as pd

    path = tmp_path / "p.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    return path, table


def test_intersections_and_each_attribute_alone(two_attributes):
    path, table = two_attributes
    crossed = score(path)
    alone = score(PredictionFiles(path, by=("sex",)))
    assert crossed.metric("EO").details["by_attribute"]["sex"]["value"] == pytest.approx(alone.metric("EO").value)
    assert crossed.metric("EO").details["by_attribute"]["age"]["interval"] == pytest.approx(
        score(PredictionFiles(path, by=("age",))).metric("EO").interval
    )
    rows = (table["split"] == "test") & (table["target"] == 1) & (table["attribute_age"] == 2) & (table["attribute_sex"] == 1)
    right = (table["prediction"] == table["target"])[rows]
    assert crossed.metric("accuracy", group=Group(1, 5)).value == pytest.approx(right.mean())
    assert crossed.data.groups[5].name == "class 0 / age=2, sex=1"
    swapped = score(
        PredictionFiles(
            path,
            by=(
                "sex",
                "age",
            ),
        )
    )
    assert swapped.metric("EO").value == pytest.approx(crossed.metric("EO").value)
    with pytest.raises(InputError, match="no attribute 'sax' \\(did you mean 'sex'\\?\\)"):
        score(PredictionFiles(path, by=("sax",)))


def test_one_attribute_without_a_name_has_no_other_groups():
    with pytest.raises(InputError, match="none by name"):
        regroup(example(), ["sex"])


def test_without_test_samples_of_the_forgotten_group_the_nearest_is_the_first_of_the_same_class():
    before, after = (
        replace(p, split=np.where((p.split == 3) & (p.target == 0) & (p.attribute == 0), 2, p.split)) for p in three_classes()
    )
    found = measure_redistribution(check_predictions(after), check_predictions(before))
    assert found.basis.empty_cells == (Group(0, 0),)
    rows = found.basis.details["groups"]
    assert [row["distance"] for row in rows] == [1.0] * 5
    assert found.basis.details["nearest"] == {"target": 0, "attribute": 1}
    (share,) = (row["share"] for row in rows if row["group"] == {"target": 0, "attribute": 1})
    assert found.estimate == pytest.approx(share)
