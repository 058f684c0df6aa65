"""Which validation rows rank trials."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from support.memory_store import MemoryStore
from support.sessions import open_session
from support.tiny import CPU, dataset, runtime, spec

from grmu_audit.data.batches import BatchSource
from grmu_audit.errors import InputError
from grmu_audit.models.catalog import build
from grmu_audit.records import ModelRef
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.methods import methods
from grmu_audit.workflows.versions.method_choice import MethodChoice
from grmu_audit.workflows.versions.trial_score import TrialScorer, split_validation
from grmu_audit.workflows.versions.tuning import tune


def test_halves_are_disjoint_and_keep_each_group() -> None:
    rows, groups = np.arange(100, 161), np.repeat([0, 1, 3], [40, 20, 1])
    first, second = split_validation(rows, groups, 0)
    assert sorted([*first, *second]) == rows.tolist()
    assert np.bincount(groups[second - 100], minlength=4).tolist() == [20, 10, 0, 1]


def test_forget_rows_of_other_groups_than_the_held_out_rows_are_not_attacked() -> None:
    data, model = dataset(), build(spec(), 0)
    source = BatchSource(data, CPU)
    groups, train, val = source.group.numpy(), data.rows("train"), data.rows("val")
    forget, held_out = train[groups[train] == 2][:20], val[groups[val] == 0][:20]
    split = UnlearningData(source, train[groups[train] != 2][:40], forget, val)
    loss, advantage = TrialScorer(model, split, held_out, runtime()).score(model)
    assert loss == 0
    assert math.isnan(advantage)
    same = TrialScorer(model, split, val[groups[val] == 2][:20], runtime()).score(model)[1]
    assert 0 <= same <= 1


@pytest.mark.parametrize("groups", [[], [0, 1, 3]])
def test_trials_are_not_ranked_without_validation_rows_of_the_groups(groups: list[int], tmp_path: Path) -> None:
    data, store = dataset(), MemoryStore(tmp_path / "store")
    source, train, val = BatchSource(data, CPU), data.rows("train"), data.rows("val")
    of = source.group.numpy()
    held_out = val[np.isin(of[val], groups)]
    split = UnlearningData(source, train[of[train] != 2][:40], train[of[train] == 2][:20], held_out)
    choice = MethodChoice(methods.get("cf"), {}, frozenset(), reweight=False)
    with pytest.raises(InputError, match="validation rows of the forget set's groups, and there are none"):
        tune(open_session(store, tmp_path), ModelRef("m", "1"), split, choice, 2)
    assert store.runs == {}
