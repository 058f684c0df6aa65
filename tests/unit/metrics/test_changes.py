"""Changes between two models are paired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.outcomes import values_of
from support.random_predictions import made, named

from grmu_audit.errors import InputError
from grmu_audit.metrics import check_predictions, compare, measure_predictions
from grmu_audit.records import Predictions


def changed(one, other):
    return values_of(compare(check_predictions(one), other))


def test_a_change_is_paired_and_rows_are_aligned_by_id():
    p, q = made(seed=1), made(seed=1)
    q = replace(q, logits=q.logits + np.random.default_rng(9).normal(size=q.logits.shape))
    q = replace(q, prediction=q.logits.argmax(axis=1))
    order = np.random.default_rng(2).permutation(len(p))
    fields = ("ids", "split", "target", "attribute", "prediction", "logits")
    shuffled = replace(q, **{f: getattr(q, f)[order] for f in fields})
    straight = changed(p, q)
    assert straight == changed(p, shuffled)
    a, b = measure_predictions(p), measure_predictions(q)
    for value in straight:
        if value.value is None:
            assert named(a, value.name, group=value.group).value is None
            continue
        expected = named(a, value.name, group=value.group).value - named(b, value.name, group=value.group).value
        assert value.value == pytest.approx(expected, abs=1e-9)
    ta = named(straight, "TA")
    rows = p.mask("test")
    assert ta.statistic.only_candidate == (p.correct & ~q.correct)[rows].sum()
    apart = named(a, "TA").interval[1] - named(b, "TA").interval[0]
    assert ta.interval[1] < apart


def test_swapping_two_models_mirrors_every_change():
    p = made(seed=1)
    q = replace(
        p, prediction=np.where(np.arange(len(p)) % 7 == 0, 1 - p.prediction, p.prediction), logits=p.logits[:, ::-1].copy()
    )
    for one, two in zip(changed(p, q), changed(q, p), strict=True):
        if one.value is None or two.value is None:
            assert one.value is two.value
            continue
        assert one.value == pytest.approx(-two.value, abs=1e-12)
        assert one.interval == pytest.approx((-two.interval[1], -two.interval[0]), abs=1e-9)


def test_other_samples_are_refused_by_row_and_without_an_id():
    p = made()
    with pytest.raises(InputError, match="hold 600 and 599 rows"):
        changed(p, _first(p, 599))
    other = p.ids.copy()
    other[4] = "unknown"
    with pytest.raises(InputError, match="the second lacks row 5 of the first") as caught:
        changed(p, replace(p, ids=other))
    assert "s4" not in str(caught.value)
    target = p.target.copy()
    target[2] = 1 - target[2]
    with pytest.raises(InputError, match="another target for the same sample: first in row 3"):
        changed(p, replace(p, target=target))


def _first(p: Predictions, n: int) -> Predictions:
    fields = ("ids", "split", "target", "attribute", "prediction", "logits", "loss", "subject")
    return replace(p, **{f: None if getattr(p, f) is None else getattr(p, f)[:n] for f in fields})
