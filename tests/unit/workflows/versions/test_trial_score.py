"""Which validation rows rank trials."""

from __future__ import annotations

import numpy as np

from grmu_audit.workflows.versions.trial_score import split_validation


def test_halves_are_disjoint_and_keep_each_group() -> None:
    rows, groups = np.arange(100, 161), np.repeat([0, 1, 3], [40, 20, 1])
    first, second = split_validation(rows, groups, 0)
    assert sorted([*first, *second]) == rows.tolist()
    assert np.bincount(groups[second - 100], minlength=4).tolist() == [20, 10, 0, 1]
