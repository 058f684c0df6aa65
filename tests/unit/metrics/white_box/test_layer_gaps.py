"""Correlation of layers and gaps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from grmu_audit.errors import InputError
from grmu_audit.metrics.white_box.layer_gaps import correlation


def test_correlation_agrees_with_scipy_and_blocks_take_out_what_differs_between_them() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=12), rng.normal(size=12)
    found, oracle = correlation(list(x), list(y)), spearmanr(x, y)
    assert found.value == pytest.approx(oracle.statistic)
    assert found.p_value == pytest.approx(oracle.pvalue, abs=0.03)
    block = [0] * 6 + [1] * 6
    shifted = np.concatenate([np.arange(6), 100 + np.arange(6)]).astype(float)
    falling = np.concatenate([-np.arange(6), 100 - np.arange(6)]).astype(float)
    assert correlation(list(shifted), list(falling), block).value == pytest.approx(-1)
    assert correlation(list(shifted), list(falling)).value > 0
    with pytest.raises(InputError, match="four points"):
        correlation([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
