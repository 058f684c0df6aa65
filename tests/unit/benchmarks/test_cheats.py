"""What each cheat leaves as it was, and what it changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.measurements.cheats import CHEATS, clipped, labels_only, noisy, partway, scaled, shifted
from grmu_audit.records import Predictions


def predictions(seed: int = 0, count: int = 400) -> Predictions:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (count, 2))
    return Predictions(
        ids=np.array([f"s{i:05d}" for i in range(count)]),
        split=rng.integers(0, 4, count),
        target=rng.integers(0, 2, count),
        attribute=rng.integers(0, 2, count),
        prediction=logits.argmax(1),
        classes=2,
        attributes=2,
        logits=logits,
        subject=np.arange(count),
    )


def gap(one: Predictions) -> np.ndarray:
    return one.logits[:, 1] - one.logits[:, 0]


@pytest.mark.parametrize("name", CHEATS)
def test_only_the_answers_change(name):
    before = predictions()
    kept = before.logits.copy()
    made = CHEATS[name](before, 3)
    for column in ("ids", "split", "target", "attribute", "subject"):
        assert getattr(made, column) is getattr(before, column)
    assert np.array_equal(made.prediction, made.logits.argmax(1))
    assert made.logits.shape == before.logits.shape
    assert made.logits.dtype == np.float64
    assert np.array_equal(before.logits, kept)
    assert (name == "untouched") == np.array_equal(made.logits, before.logits)
    assert np.array_equal(made.logits, CHEATS[name](before, 3).logits)


def test_numbers_of_each_cheat():
    before = predictions()
    assert np.allclose(gap(scaled(before, 0.3)), 0.3 * gap(before))
    assert np.allclose(gap(clipped(before, 1.0)), np.clip(gap(before), -1, 1))
    assert set(gap(labels_only(before))) == {-1.0, 1.0}
    for made in (scaled(before, 0.3), scaled(before, 1.5), clipped(before, 1.0), labels_only(before)):
        assert np.array_equal(made.prediction, before.prediction)
    noise = noisy(before, 4.0, 1).logits - before.logits
    assert abs(noise.std() - 4.0) < 0.4
    assert not np.array_equal(noisy(before, 4.0, 2).logits, noisy(before, 4.0, 1).logits)


@pytest.mark.parametrize("target", [0, 1])
def test_shift_lowers_the_class_of_the_forget_set(target):
    before = predictions()
    before = replace(before, target=np.where(before.mask("forget"), target, before.target))
    moved = shifted(before, 2.0).logits - before.logits
    assert np.allclose(moved[:, target], -2.0)
    assert np.all(moved[:, 1 - target] == 0)


def test_halfway_is_the_mean_and_the_ends_are_the_models():
    before, retrained = predictions(0), replace(predictions(0), logits=predictions(1).logits)
    assert np.allclose(partway(before, retrained, 0.5).logits, (before.logits + retrained.logits) / 2)
    assert np.array_equal(partway(before, retrained, 0.0).logits, before.logits)
    assert np.array_equal(partway(before, retrained, 1.0).logits, retrained.logits)
    with pytest.raises(ValueError, match="same samples"):
        partway(before, replace(retrained, ids=before.ids[::-1]), 0.5)


def test_what_has_no_logits_or_more_classes_is_refused():
    before = predictions()
    with pytest.raises(ValueError, match="no logits"):
        scaled(replace(before, logits=None), 0.3)
    three = replace(before, logits=np.zeros((len(before), 3)), classes=3)
    with pytest.raises(ValueError, match="two classes"):
        clipped(three, 1.0)
