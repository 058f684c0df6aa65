"""What the gate is tried on is complete, and the command line reads its seeds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks.measurements.cheats import CHEATS
from benchmarks.measurements.gate import CELLS, FULL, KINDS
from benchmarks.measurements.problem import forget_rows
from benchmarks.pages.gate import parse_seeds
from grmu_audit.training.config import TrainConfig
from grmu_audit.unlearning.methods import methods

MUST_NOT_PASS = {
    "trained on everything, other seed",
    "one epoch at 1e-7",
    "one epoch at 1e-7, augmentation switched",
    "weight noise 0.0001",
    "weight noise 0.001",
    "weight noise 0.03",
    "head fine-tuned",
    "head trained against the forget set",
    "gradient ascent",
    "gradient ascent at 2e-3",
    "fine-tuning stopped after one epoch",
}


def test_kinds_are_complete():
    roles = Counter(kind.role for kind in KINDS)
    assert roles["before"] == 1
    assert roles["retrained"] == 4
    assert {kind.name for kind in KINDS if kind.role == "must not pass"} == MUST_NOT_PASS
    assert len(MUST_NOT_PASS) + len(CHEATS) >= 18
    assert len({kind.name for kind in KINDS} | set(CHEATS)) == len(KINDS) + len(CHEATS)
    assert {"ft", "miu", "neggrad_plus"} <= {kind.name for kind in KINDS if kind.role == "method"}


def test_retrained_models_have_seeds_of_their_own():
    seeds = [kind.run_seed(seed) for seed in range(10, 20) for kind in KINDS if kind.role == "retrained" or kind.other_seed]
    assert len(set(seeds)) == len(seeds) == 10 * 5
    assert not set(seeds) & set(range(1000))


@pytest.mark.parametrize("cell", CELLS.values(), ids=list(CELLS))
def test_defaults_are_used_and_augmentation_is_that_of_the_recipe(cell):
    for kind in KINDS:
        config = kind.config(cell, FULL)
        if kind.method is None or kind.method.exact:
            assert config.epochs == TrainConfig().epochs
            assert config.augment == cell.augment
        elif kind.switched:
            assert config.augment != cell.augment
        else:
            assert not config.augment or cell.augment
        if kind.role == "method":
            usual = methods.get(kind.name)
            assert config == usual.config(augment=usual.config().augment and cell.augment)
            assert kind.reweight == usual.reweight_default


@pytest.mark.parametrize(
    ("name", "groups", "ratio"),
    [("A", {2}, 0.5), ("B", {2}, 0.5), ("C", {2}, 0.9), ("D", {0}, 0.4), ("E", {0, 1, 2, 3}, 100 / 1100)],
)
def test_requests_are_the_share_of_the_groups_that_they_are_meant_to_be(name, groups, ratio):
    dataset = FULL.dataset(10)
    group = 2 * dataset.frame["target"].to_numpy() + dataset.frame["attribute"].to_numpy()
    train = dataset.frame["split"].to_numpy() == "train"
    rows = forget_rows(dataset, CELLS[name].sampling(10))
    assert set(group[rows]) == groups
    assert train[rows].all()
    assert np.all(np.diff(rows) > 0)
    assert abs(len(rows) - ratio * (np.isin(group, list(groups)) & train).sum()) <= 0.5
    assert not np.array_equal(rows, forget_rows(dataset, CELLS[name].sampling(11)))


def test_seeds_are_read():
    assert parse_seeds("10-12") == [10, 11, 12]
    assert parse_seeds("3,7-8,5") == [3, 7, 8, 5]
    for text in ("", "a", "3-", "5-3", "-1"):
        with pytest.raises(ValueError, match="such as 10-19"):
            parse_seeds(text)
