"""The pool of networks: what is stored, made again bit for bit, and what a metric is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.measurements.gate import Scale
from benchmarks.measurements.pool import FORMS, Pool, PoolMaker, Ranking, Separation, read_pool, separation, write_pool
from benchmarks.pages.pool import page, table_of
from grmu_audit.errors import IntegrityError

SMALL = Scale(epochs=1, widths=(4, 8), renders=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pool, Path]:
    cache = tmp_path_factory.mktemp("cache")
    return PoolMaker(cache, 2, SMALL).pool(), cache


def test_the_pool_holds_each_form_of_each_network_and_is_the_same_again(made: tuple[Pool, Path], tmp_path: Path) -> None:
    pool, cache = made
    assert pool.margin.shape == (8, len(FORMS), 1797)
    assert pool.margin.dtype == np.float16
    assert pool.retrained.tolist() == [False] * 3 + [True] * 5
    assert pool.ranked().tolist() == [False, True, True, False, False, False, True, True]
    assert not np.array_equal(pool.margin[:, 0], pool.margin[:, 2])
    left: list[int] = []
    for path in sorted(cache.glob("pool-*"))[:2]:
        path.unlink()
    write_pool(PoolMaker(cache, 2, SMALL).pool(left.append), tmp_path / "again.npz")
    write_pool(pool, tmp_path / "pool.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "pool.npz").read_bytes()
    assert left == [7, 6, 5, 4, 3, 2, 1, 0]
    found = read_pool(tmp_path / "pool.npz")
    assert np.array_equal(found.margin, pool.margin)
    assert found.facts == pool.facts


def test_every_metric_of_an_audit_is_ranked(made: tuple[Pool, Path]) -> None:
    pool, _ = made
    ranking = Ranking(pool)
    table = table_of(pool, ranking, FORMS[0])
    assert {"UA", "MIA_AUC", "AVG_GAP", "GA"} <= set(table)
    values = ranking.values(FORMS[0])["TA"]
    test = (ranking.dataset.frame["split"] == "test").to_numpy()
    target = ranking.dataset.frame["target"].to_numpy()
    said = pool.margin[ranking.networks, 0][:, test].astype(np.float64) > 0
    np.testing.assert_allclose(values, (said == target[test]).mean(axis=1))
    text = page(pool, {name: dict.fromkeys(FORMS, found) for name, found in table.items()})
    assert "2 networks that were trained on all" in " ".join(text.split())
    with pytest.raises(IntegrityError, match="made from other data"):
        Ranking(Pool(pool.margin, pool.retrained, pool.seed, {**pool.facts, "data_sha256": "0"}))


def test_the_area_is_that_of_scikit_learn_and_holds_no_half_where_it_tells() -> None:
    rng = np.random.default_rng(0)
    kinds = np.repeat([True, False], 60)
    values = np.round(rng.normal(kinds * 0.8), 1)
    found = separation(values, kinds)
    assert found is not None
    assert found.area == pytest.approx(roc_auc_score(kinds, values))
    assert 0.5 < found.low < found.area < found.high < 1
    assert separation(np.where(kinds, np.nan, values), kinds) is None
    lost = separation(np.where(np.arange(120) == 3, np.nan, values), kinds)
    assert lost is not None
    assert lost.undefined == 1
    told = separation(kinds.astype(float), kinds)
    assert told is not None
    assert told.area == 1.0
    assert 0.5 < told.low < 1.0
    alike = separation(np.zeros(120), kinds)
    assert alike is not None
    assert alike.low <= 0.5 <= alike.high


def test_the_page_says_which_metrics_tell() -> None:
    always, half, never = Separation(1, 0.97, 1, 0), Separation(0.7, 0.6, 0.8, 0), Separation(0.5, 0.4, 0.6, 2)
    table = {
        "A": dict.fromkeys(FORMS, always),
        "B": dict(zip(FORMS, (half, half, never), strict=True)),
        "D": dict(zip(FORMS, (half, half, Separation(0.1, 0.05, 0.2, 0)), strict=True)),  # turned round by fine-tuning
        "C": dict.fromkeys(FORMS, never),
    }
    facts = {
        "first_seed": 1000,
        "scale": {"widths": [8], "epochs": 2},
        "data_seed": 0,
        "request": "half",
        "machine": dict.fromkeys(("processor", "threads", "instructions", "torch", "version"), "x"),
    }
    pool = Pool(np.zeros((8, 3, 1), dtype=np.float16), np.repeat([False, True], (3, 5)), np.arange(8), facts)
    text = page(pool, table)
    assert "in all three forms: `A`." in text
    assert "not so in every form: `B`, `D`." in text
    assert "Not as trained: `C`." in text
    assert "These are 12 intervals" in text
    assert "0.500 [0.400, 0.600], 2 undefined" in text
    assert [line.split(" | ")[0] for line in text.split("\n") if line.startswith("| `")] == ["| `A`", "| `B`", "| `D`", "| `C`"]
