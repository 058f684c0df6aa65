"""Exact tests against scipy's and Holm's step-down against statsmodels'."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact
from statsmodels.stats.multitest import multipletests

from grmu_audit.metrics.subgroups.exact_tests import fisher_tail, holm, mcnemar_tail


@settings(max_examples=200)
@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 400), st.integers(1, 400))
def test_fishers_test_is_scipys(wrong: int, right: int, others_wrong: int, others_right: int) -> None:
    table = [[wrong, right], [others_wrong, others_right]]
    n, total = wrong + right, wrong + right + others_wrong + others_right
    (found,) = fisher_tail([wrong], [n], wrong + others_wrong, total)
    if wrong * total > n * (wrong + others_wrong):
        assert found == pytest.approx(fisher_exact(table, alternative="greater").pvalue, rel=1e-9)
    else:
        assert found == 1


def test_fishers_test_of_large_and_of_far_counts_is_scipys() -> None:
    for wrong, n, all_wrong, total in ((900, 5000, 2000, 20_000), (40, 40, 40, 4000), (0, 30, 0, 60), (30, 30, 60, 60)):
        (found,) = fisher_tail([wrong], [n], all_wrong, total)
        table = [[wrong, n - wrong], [all_wrong - wrong, total - n - all_wrong + wrong]]
        wanted = fisher_exact(table, alternative="greater").pvalue
        assert found == pytest.approx(wanted, rel=1e-7)
    assert len(fisher_tail([], [], 0, 0)) == 0


@settings(max_examples=200)
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemars_test_is_the_binomial_one(lost: int, gained: int) -> None:
    (found,) = mcnemar_tail([lost], [gained])
    if lost > gained:
        assert found == pytest.approx(binomtest(lost, lost + gained, 0.5, alternative="greater").pvalue, rel=1e-9)
    else:
        assert found == 1


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holms_step_down_is_statsmodels(p: list[float]) -> None:
    with mock.patch("gc.collect"):  # multipletests collects garbage in every call, which takes seconds late in a run
        wanted = multipletests(p, method="holm")[1].tolist()
    assert holm(np.array(p)).tolist() == pytest.approx(wanted, abs=1e-12)
    assert len(holm(np.zeros(0))) == 0
