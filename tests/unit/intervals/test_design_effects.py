"""Design effects of repeated samples."""

from __future__ import annotations

import numpy as np
import pytest

from grmu_audit.intervals.design_effects import design_effect, design_effects


def test_design_effect_of_repeated_samples_and_of_independent_ones():
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.7
    repeated, person = np.repeat(right, 10), np.repeat(np.arange(400), 10)
    assert design_effect(repeated, person) == pytest.approx(10, rel=0.01)
    assert design_effect(right, np.arange(400)) == pytest.approx(1.0, abs=1e-9)
    assert design_effect(right, None) == 1.0
    assert design_effect(np.ones(40), np.repeat([0, 1], 20)) == pytest.approx(20.0)
    assert design_effect(np.ones(4), np.zeros(4, dtype=np.int64)) == pytest.approx(4.0)
    several = design_effects(repeated, np.repeat([0, 1], 2000), 3, person)
    assert several[:2] == pytest.approx([10, 10], rel=0.01)
    assert several[2] == 1.0
