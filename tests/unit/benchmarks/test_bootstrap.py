"""The bootstrap on counts has the law of the bootstrap on rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.measurements.bootstrap import bootstrap, count_bootstrap
from grmu_audit.errors import InputError
from grmu_audit.metrics import check_predictions, measure_predictions
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.records import Group, Predictions

NAMES = ("TA", "GA", "WG", "EO", "EP", "DP")


def _rows(p, chosen):
    columns = ("ids", "split", "target", "attribute", "prediction", "logits")
    return replace(p, **{name: getattr(p, name)[chosen] for name in columns})


@pytest.fixture(scope="module")
def small() -> Predictions:
    p = example()
    return _rows(p, np.arange(1500))


def test_spread_agrees_with_resampled_rows(small):
    f = check_predictions(small, dominant_groups=(Group(1, 0),))
    made = bootstrap(f, replicates=4000)
    rng, test = np.random.default_rng(0), np.flatnonzero(f.test)
    from grmu_audit.metrics.accuracy import accuracy_rows, accuracy_statistic, worst_group
    from grmu_audit.metrics.fairness import measure_fairness

    plain = []
    for _ in range(600):
        g = check_predictions(_rows(small, rng.choice(test, len(test))), dominant_groups=(Group(1, 0),))
        row = {v.metric: v.estimate for v in measure_fairness(g)} | {"WG": worst_group(g).estimate}
        row |= {name: accuracy_statistic(g, name, accuracy_rows(g, name)).estimate for name in ("TA", "GA")}
        plain.append([row[name] for name in NAMES])
    table = np.array(plain)
    for column, name in enumerate(NAMES):
        assert made[name].std() == pytest.approx(table[:, column].std(), rel=0.12)
        assert made[name].mean() == pytest.approx(table[:, column].mean(), abs=0.004)


def test_every_replicate_centres_on_the_estimate_and_subjects_widen_it(small):
    f = check_predictions(small)
    values = {v.name: v.value for v in measure_predictions(small) if v.group is None}
    made = bootstrap(f)
    assert made["TA"].mean() == pytest.approx(values["TA"], abs=0.003)
    assert made["GA"].mean() == pytest.approx(values["GA"], abs=0.01)
    doubled = _rows(small, np.repeat(np.arange(1500), 4))
    wide = bootstrap(check_predictions(replace(doubled, subject=np.repeat(np.arange(1500), 4))))
    assert wide["TA"].std() == pytest.approx(made["TA"].std(), rel=0.15)
    assert bootstrap(check_predictions(doubled))["TA"].std() == pytest.approx(made["TA"].std() / 2, rel=0.15)


def test_counts_keep_their_sum_and_nothing_to_resample_is_refused():
    drawn = count_bootstrap(np.array([3, 0, 7]), 50, np.random.default_rng(1))
    assert (drawn.sum(axis=1) == 10).all()
    assert (drawn[:, 1] == 0).all()
    with pytest.raises(InputError, match="needs samples and replicates"):
        count_bootstrap(np.zeros(3, dtype=np.int64), 5, np.random.default_rng(1))
    p = example()
    assert bootstrap(check_predictions(replace(p, split=np.where(p.split == 3, 2, p.split)))) == {}
