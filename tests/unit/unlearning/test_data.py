"""Weights of retain samples."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grmu_audit.unlearning.data import reweight


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array),
    st.lists(st.integers(0, 4), min_size=1, max_size=30).map(np.array),
)
def test_reweight_restores_the_group_mix(retain: np.ndarray, forget: np.ndarray) -> None:
    weights = reweight(retain, forget)
    assert (weights >= 1).all()
    survivors = np.isin(forget, retain)
    before = np.bincount(np.concatenate([retain, forget[survivors]]), minlength=5)
    mass = np.bincount(retain, weights=weights, minlength=5)
    assert np.allclose(mass, before)
