"""Population attacks against scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from support.random_predictions import made, named

from grmu_audit.metrics import measure_predictions
from grmu_audit.metrics.scores import attack_scores
from grmu_audit.records import Group
from grmu_audit.records.audit import MeasureOptions


def test_weighted_auc_agrees_with_scikit_learn_for_every_score():
    p = made(n=1500, seed=7)
    forget, test, group = p.mask("forget"), p.mask("test"), p.group
    weight = np.zeros(len(p))
    for g in np.unique(group):
        rows = test & (group == g)
        weight[rows] = (forget & (group == g)).sum() / rows.sum()
    used = forget | test
    weights = np.where(forget, 1.0, weight)[used]
    details = named(measure_predictions(p), "MIA_AUC").details["scores"]
    for name, score in attack_scores(p).items():
        assert details[name] == pytest.approx(roc_auc_score(forget[used], score[used], sample_weight=weights), abs=1e-9)
    assert named(measure_predictions(p, MeasureOptions(attack_score="entropy")), "MIA_AUC").value == pytest.approx(
        details["entropy"]
    )


def test_forget_samples_without_unseen_counterparts_are_named():
    p = made(n=800)
    group = p.group
    split = np.where((p.split == 3) & (group == 3), 2, p.split)
    value = named(measure_predictions(replace(p, split=split)), "MIA_AUC")
    assert value.incomplete
    assert value.empty_cells == (Group(1, 1),)
