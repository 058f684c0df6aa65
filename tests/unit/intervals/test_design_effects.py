"""Design effects of repeated samples."""

from __future__ import annotations

import numpy as np
import pytest

from grmu_audit.intervals.design_effects import contrast_inflation, design_effect, design_effects


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


def test_people_in_several_cells_inflate_contrasts_as_their_correlation_says():
    rng = np.random.default_rng(1)
    person, row = np.repeat(np.arange(4000), 2), np.tile([0, 1], 4000)
    column = (person % 2).astype(np.int64)
    ability = rng.normal(0, 1, 4000)[person]
    for sign, correlation in ((1, 0.5), (-1, 0.5)):
        values = np.where(row == 0, sign, 1) * ability + rng.normal(0, 1, 8000)
        one, mean = contrast_inflation(values, row, column, person)
        assert one == pytest.approx(1.0, abs=0.05)
        assert mean == pytest.approx(1 + correlation, abs=0.05)
    alone = contrast_inflation(ability + rng.normal(0, 1, 8000), row, column, np.arange(8000))
    assert alone == (1.0, 1.0)
    within = contrast_inflation(np.where(row == 0, -1, 1) * ability, np.zeros_like(row), row, person)
    assert within[0] == pytest.approx(2.0, abs=0.05)  # the same person low in one column and high in the other
    assert contrast_inflation(ability, row, column, None) == (1.0, 1.0)


def test_people_are_the_same_whatever_their_numbers_are():
    rng = np.random.default_rng(3)
    cell, person = rng.integers(0, 3, 200), rng.integers(0, 20, 200)
    values = (person + cell) % 3 + rng.integers(0, 2, 200)
    wanted = design_effects(values, cell, 3, person)
    for names in (rng.permutation(20), rng.integers(0, 10**12, 20), -1 - np.arange(20)):
        assert design_effects(values, cell, 3, names[person]) == pytest.approx(wanted)
    assert (wanted > 1).all()


def test_without_people_or_samples_every_cell_counts_as_independent_samples():
    right, cell = np.array([True, True, False]), np.array([0, 0, 2])
    assert design_effects(right, cell, 3, None).tolist() == [1.0, 1.0, 1.0]
    assert design_effects(right, cell, 3, np.array([5, 5, 5])).tolist() == [2.0, 1.0, 1.0]
    assert design_effects(right[:0], cell[:0], 2, cell[:0]).tolist() == [1.0, 1.0]
