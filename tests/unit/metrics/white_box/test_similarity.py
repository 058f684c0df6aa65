"""CKA, neighbours, prototypes and divergences against definitions written out and against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from grmu_audit.errors import InputError
from grmu_audit.intervals import Replicated
from grmu_audit.metrics.white_box.similarity import (
    activation_distance,
    cka,
    js_divergence,
    linear_probe,
    nearest_neighbours,
    nearest_prototype,
)


def hsic_by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. (2012), with the n x n matrices written out."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    one = np.ones(n)
    middle = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
    return float((np.trace(k @ m) + middle) / (n * (n - 3)))


def test_cka_equals_the_estimator_with_gram_matrices() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6)) + 3
    y = x @ rng.normal(size=(6, 9)) + rng.normal(size=(40, 9))
    expected = hsic_by_definition(x, y) / np.sqrt(hsic_by_definition(x, x) * hsic_by_definition(y, y))
    assert cka(x, y) == pytest.approx(expected, abs=1e-9)


def test_cka_on_matrices_with_known_answer() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 5))
    turned = 7 * x @ np.linalg.qr(rng.normal(size=(5, 5)))[0] + 4
    assert cka(x, turned) == pytest.approx(1, abs=1e-9)
    unrelated = [cka(rng.normal(size=(60, 30)), rng.normal(size=(60, 30))) for _ in range(60)]
    assert abs(np.mean(unrelated)) < 0.02  # the biased estimator gives about 0.33 here
    half = np.concatenate([x, np.zeros_like(x)], axis=1)
    assert cka(np.eye(60)[:, :4], np.eye(60)[:, 4:8]) < 0.05
    assert cka(x, half) == pytest.approx(1, abs=1e-9)
    assert np.isnan(cka(x, np.ones((60, 2))))
    with pytest.raises(InputError, match="4 or more samples"):
        cka(x[:3], x[:3])


def test_neighbours_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    bank, labels, queries = rng.normal(size=(300, 8)), rng.integers(0, 4, 300), rng.normal(size=(1100, 8))
    for k in (1, 5, 10):
        oracle = KNeighborsClassifier(k).fit(bank, labels).predict(queries)
        assert (nearest_neighbours(bank, labels, queries, k) == oracle).all()
    with pytest.raises(InputError, match="5 nearest neighbours of a bank of 3"):
        nearest_neighbours(bank[:3], labels[:3], queries)


def test_prototypes_agree_with_scikit_learn_and_a_probe_finds_a_line() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(90, 4)), rng.integers(0, 3, 90)
    x[:, 0] += 4 * y
    queries = rng.normal(size=(50, 4)) + 4
    assert (nearest_prototype(x, y, queries) == NearestCentroid().fit(x, y).predict(queries)).all()
    assert (linear_probe(x, (y > 1).astype(int), x) == (y > 1)).mean() > 0.9
    with pytest.raises(InputError, match="two classes"):
        linear_probe(x, np.zeros(90, int), queries)


def test_divergences_agree_with_scipy_and_know_their_ends() -> None:
    rng = np.random.default_rng(4)
    p, q = (rng.dirichlet(np.ones(5), 20) for _ in range(2))
    assert js_divergence(p, q) == pytest.approx(jensenshannon(p.T, q.T, base=2) ** 2)
    assert activation_distance(p, q) == pytest.approx(np.linalg.norm(p - q, axis=1))
    assert js_divergence(p, p) == pytest.approx(0, abs=1e-12)
    assert js_divergence(np.eye(2), np.eye(2)[::-1]).tolist() == [1.0, 1.0]


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    x = np.random.default_rng(5).normal(size=30)
    left_out = np.array([np.delete(x, i).mean() for i in range(30)])
    s = Replicated.jackknife(float(x.mean()), left_out)
    assert s.se == pytest.approx(x.std(ddof=1) / np.sqrt(30))
    direct = Replicated.of_samples(x)
    assert (direct.se, direct.df) == (pytest.approx(s.se), 29)
    assert Replicated.of_runs(x).se == pytest.approx(s.se)
    low, high = s.limits(0.05)  # type: ignore[misc]
    from scipy import stats

    assert (low, high) == pytest.approx(stats.ttest_1samp(x, 0).confidence_interval(0.95))


def test_people_count_instead_of_samples() -> None:
    x = np.repeat(np.random.default_rng(6).normal(size=20), 10)
    person = np.repeat(np.arange(20), 10)
    assert Replicated.of_samples(x, person).se == pytest.approx(Replicated.of_samples(x[::10]).se)
    assert Replicated.of_samples(x[:1]).limits(0.05) is None
