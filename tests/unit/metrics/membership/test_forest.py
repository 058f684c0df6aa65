"""The forest without trees against scikit-learn's forest: the difference is 0, not small."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from sklearn.ensemble import RandomForestClassifier

from grmu_audit.metrics.membership import forest
from grmu_audit.metrics.membership.forest import forest_calls, forest_probabilities


def bf16(x):
    bits = x.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return rounded.astype(np.uint32).view(np.float32).astype(np.float64)


def oracle(x, y, queries, seed, **options):
    forest = RandomForestClassifier(n_estimators=options.pop("trees", 100), random_state=seed, **options)
    return forest.fit(x[:, None], y).predict_proba(queries[:, None])


def losses(members, others, queries, seed):
    rng = np.random.default_rng(seed)
    scale = rng.choice([1e-8, 1e-4, 1.0, 10.0], members)
    return rng.exponential(0.1, members) * scale, rng.exponential(0.4, others), rng.exponential(0.2, queries)


@pytest.mark.parametrize("rounded", [True, False], ids=["bf16", "full"])
@pytest.mark.parametrize(("members", "others"), [(1, 1), (40, 9), (900, 700), (6000, 500)])
def test_probabilities_are_scikit_learns_bit_for_bit(members, others, rounded):
    member, other, queries = losses(members, others, 300, members)
    if rounded:
        member, other, queries = bf16(member), bf16(other), bf16(queries)
    x, y = np.concatenate([member, other]), np.repeat([1, 0], [members, others])
    made = forest_probabilities(x, y, queries, seed=7)
    assert np.array_equal(made, oracle(x, y, queries, 7))
    assert np.array_equal(made.argmax(axis=1) == 0, made[:, 0] >= made[:, 1])


def test_entropy_gives_the_same_forest_and_fewer_trees_a_prefix():
    member, other, queries = losses(400, 300, 100, 3)
    x, y = np.concatenate([member, other]), np.repeat([1, 0], [400, 300])
    assert np.array_equal(forest_probabilities(x, y, queries, seed=1), oracle(x, y, queries, 1, criterion="entropy"))
    assert np.array_equal(forest_probabilities(x, y, queries, seed=1, trees=20), oracle(x, y, queries, 1, trees=20))


# the forest itself does not use scikit-learn's: it is the same with every version
@pytest.mark.skipif(
    Version(sklearn.__version__) < Version("1.8"), reason="before 1.8, scikit-learn splits between nearly equal values elsewhere"
)
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1e-8, 5e-8, 1e-7, 3e-7, 0.5, 0.50000003, 1.0, 2.0, 1e30, 1e300]), min_size=2, max_size=30),
    st.lists(st.booleans(), min_size=30, max_size=30),
    st.integers(0, 10**6),
)
def test_ties_and_nearly_equal_values_are_treated_alike(values, labels, seed):
    x = np.clip(np.array(values), None, 1e30)
    y = np.array(labels[: len(values)]).astype(np.int64)
    y[:2] = 0, 1
    queries = np.unique(np.concatenate([x, x * 1.0000001, (x[:-1] + x[1:]) / 2]))
    assert np.array_equal(forest_probabilities(x, y, queries, seed=seed, trees=10), oracle(x, y, queries, seed, trees=10))


def test_calls_are_the_forests_and_balance_draws_without_replacement():
    member, other, queries = losses(500, 80, 200, 5)
    x, y = np.concatenate([member, other]), np.repeat([1, 0], [500, 80])
    wanted = oracle(x, y, queries, 3).argmax(axis=1) == 0
    assert np.array_equal(forest_calls(member, other, queries, seed=3, balanced=False), wanted)
    assert forest_calls(member, other, queries, seed=3, balanced=True).mean() > wanted.mean()


def test_forest_is_seeded_and_balanced_draws_members_down():
    rng = np.random.default_rng(1)
    member, other, queries = rng.exponential(1, 400), rng.exponential(1, 60), rng.exponential(1, 200)
    balanced = forest_calls(member, other, queries, seed=3, balanced=True)
    assert np.array_equal(balanced, forest_calls(member, other, queries, seed=3, balanced=True))
    assert balanced.mean() > forest_calls(member, other, queries, seed=3, balanced=False).mean() + 0.1


def test_draws_that_are_too_many_to_keep_give_the_same_forest(monkeypatch):
    member, other, queries = losses(40, 20, 30, 6)
    x, y = np.concatenate([member, other]), np.repeat([1, 0], [40, 20])
    monkeypatch.setattr(forest, "_MOST_KEPT", 60 * 20 - 1)  # really 640,000 samples of 100 trees
    found = [forest_probabilities(x, y, queries, seed=11, trees=trees) for trees in (20, 20, 19)]
    assert np.array_equal(found[0], oracle(x, y, queries, 11, trees=20))
    assert np.array_equal(found[1], found[0])
    assert np.array_equal(found[2], oracle(x, y, queries, 11, trees=19))
