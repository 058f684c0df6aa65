"""Predictions are checked before anything is computed from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.random_predictions import made
from support.white_box_models import N, problem

from grmu_audit.errors import InputError
from grmu_audit.metrics import check_predictions, measure_predictions
from grmu_audit.metrics.checked_predictions import row_positions
from grmu_audit.records import Group


def test_outputs_of_other_samples_are_refused() -> None:
    f, outputs = problem()
    with pytest.raises(InputError, match="collect them again"):
        row_positions(f.predictions.ids, replace(outputs, ids=np.roll(outputs.ids, 1)[: N // 2]))


def test_dominant_groups_are_the_largest_share_with_ties():
    p = made()
    forget = p.mask("forget")
    counts = np.bincount(p.group[forget], minlength=4)
    assert check_predictions(p).dominant_groups == tuple(
        Group(int(c) // 2, int(c) % 2) for c in np.flatnonzero(counts == counts.max())
    )
    few = replace(p, split=np.where(np.arange(len(p)) < 2, 1, 0), target=np.where(np.arange(len(p)) == 0, 1, 0))
    assert len(check_predictions(replace(few, attribute=np.zeros(len(p), dtype=np.int64))).dominant_groups) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": np.full((600, 2), np.nan)}, "a logit that is NaN or infinite in rows 1, 2, 3, 4, 5 and 595 more"),
        ({"logits": np.full((600, 3), 1.0)}, "logits have 3 columns for 2 classes"),
        ({"target": np.full(600, 7)}, "target outside 0..1"),
        ({"split": np.full(600, -1)}, "split outside 0..3"),
        ({"attribute": np.zeros(5, dtype=np.int64)}, "attribute has 5 rows, ids have 600"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        measure_predictions(replace(made(), **change))
