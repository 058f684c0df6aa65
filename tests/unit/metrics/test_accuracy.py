"""Accuracies against scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from support.random_predictions import made, named

from grmu_audit.metrics import measure_predictions
from grmu_audit.records import Group, Predictions


def test_accuracies_agree_with_scikit_learn():
    p = made(subjects=80)
    values = measure_predictions(p)
    for name, split in (("RA", "retain"), ("UA", "forget"), ("TA", "test"), ("VA", "val")):
        rows = p.mask(split)
        assert named(values, name).value == pytest.approx(accuracy_score(p.target[rows], p.prediction[rows]), abs=1e-12)
        assert named(values, name).n == rows.sum()
        assert named(values, name).subjects == len(np.unique(p.subject[rows]))
    for group in (Group(0, 0), Group(1, 1)):
        rows = p.mask("test") & (p.target == group.target) & (p.attribute == group.attribute)
        assert named(values, "accuracy", group=group).value == pytest.approx(p.correct[rows].mean(), abs=1e-12)


def test_a_subject_column_widens_the_interval():
    p = made(n=200, seed=3)
    tall = Predictions(
        **{f: np.repeat(getattr(p, f), 5, axis=0) for f in ("split", "target", "attribute", "prediction", "logits")},
        ids=np.array([f"s{i}" for i in range(1000)]), classes=2, attributes=2,
    )  # fmt: skip
    naive, honest = measure_predictions(tall), measure_predictions(replace(tall, subject=np.repeat(np.arange(200), 5)))
    single = measure_predictions(p)
    for name in ("TA", "GA", "EO", "MIA_AUC"):
        assert named(honest, name).value == pytest.approx(named(naive, name).value)
        width = [np.diff(named(v, name).interval)[0] for v in (naive, honest, single)]
        assert width[0] * 1.5 < width[1]
        assert width[1] == pytest.approx(width[2], rel=0.2)  # few people: Student's quantile
