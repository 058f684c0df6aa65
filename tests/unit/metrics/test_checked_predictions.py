"""Predictions are checked before anything is computed from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.random_predictions import made
from support.white_box_models import N, problem

from grmu_audit.errors import InputError
from grmu_audit.metrics import check_predictions, measure_predictions
from grmu_audit.metrics.checked_predictions import MOST_GROUPS, align, check, crossed_names, regroup, row_positions
from grmu_audit.records import Group, MeasureOptions, Predictions


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


def taken(p: Predictions, rows: np.ndarray) -> Predictions:
    """Some rows of made-up predictions."""
    columns = ("ids", "split", "target", "attribute", "prediction", "logits")
    return replace(p, **{name: getattr(p, name)[rows] for name in columns})


def test_a_positive_class_that_is_none_of_two_is_refused():
    for positive in (-1, 2):
        with pytest.raises(InputError, match=f"positive_class {positive} is not a class: use 0 or 1"):
            check_predictions(made(), MeasureOptions(positive_class=positive))
    assert check_predictions(made(), MeasureOptions(positive_class=0)).options.positive_class == 0
    assert check_predictions(made(classes=3), MeasureOptions(positive_class=2)).options.positive_class == 2


def test_predictions_without_a_row_are_refused():
    with pytest.raises(InputError, match="predictions cannot be used: no rows at all"):
        check(taken(made(), np.array([], dtype=np.int64)))


def test_more_groups_than_an_audit_can_hold_are_refused_with_their_number():
    n = MOST_GROUPS + 1
    zero = np.zeros(n, dtype=np.int64)
    p = Predictions(np.arange(n).astype(str), zero, zero, np.arange(n), zero, 2, n)
    with pytest.raises(InputError, match=r"50,001 groups \(class x attribute value\) occur, at most 50,000 can be audited"):
        check(p)
    check(replace(p, attribute=np.minimum(p.attribute, MOST_GROUPS - 1)))


@pytest.mark.parametrize("by", [(), ("sex", "sex")])
def test_groups_need_attributes_to_be_named_once(by):
    factors = (("sex", 2), ("age", 2))
    p = replace(made(attributes=4), factors=factors, attribute_names=crossed_names(factors))
    with pytest.raises(InputError, match="name one or more attributes to group by, each once"):
        regroup(p, by)
    turned = regroup(p, ("age", "sex"))
    assert np.array_equal(turned.attribute, 2 * (p.attribute % 2) + p.attribute // 2)


def test_rows_of_another_model_are_brought_into_the_order_of_the_first():
    p = made()
    other = taken(made(seed=0), np.random.default_rng(1).permutation(len(p)))
    assert not np.array_equal(other.ids, p.ids)
    found = align(p, other)
    for name in ("ids", "split", "target", "attribute", "prediction", "logits"):
        assert np.array_equal(getattr(found, name), getattr(p, name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: taken(p, np.arange(599)), "hold 600 and 599 rows: both must hold the same samples"),
        (lambda p: replace(p, classes=3), "know 2 classes x 2 attribute values and 3 x 2: both must describe the same task"),
        (lambda p: replace(p, attributes=3), "know 2 classes x 2 attribute values and 2 x 3"),
        (lambda p: replace(p, target=np.where(np.arange(600) == 7, 1 - p.target, p.target)), "another target .* first in row 8"),
        (lambda p: replace(p, split=np.where(np.arange(600) == 0, 3 - p.split, p.split)), "another split .* first in row 1$"),
        (lambda p: replace(p, attribute=1 - p.attribute), "another attribute .* first in rows 1, 2, 3, 4, 5 and 595 more"),
        (
            lambda p: replace(p, ids=np.where(p.ids == "s3", "t3", p.ids)),
            "same samples: the second lacks row 4 of the first$",
        ),
        (lambda p: replace(p, ids=np.char.upper(p.ids)), "only the notation of the ids differs"),
        (lambda p: replace(p, ids=np.where(p.ids == "s3", "s4", p.ids)), "the second lacks row 4 of the first"),
    ],
)
def test_another_model_on_other_samples_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        align(made(), change(made()))


def test_an_id_that_occurs_twice_in_the_other_model_alone_is_refused():
    ids = np.array(["a", "a", "b"])
    rows = np.arange(3)
    with pytest.raises(InputError, match="an id occurs more than once"):
        align(replace(taken(made(), rows), ids=ids), replace(taken(made(), rows), ids=np.array(["a", "b", "b"])))
