"""Labels put together: what is left out, and which columns are refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from grmu_audit.data.dataset import Attribute
from grmu_audit.data.listing import MOST_VALUES, Labels, listing_frame
from grmu_audit.errors import InputError

SEX = Attribute("sex", ("f", "m"))


def labels(target: Sequence[int | None], *attributes: tuple[Attribute, Sequence[int | None]]) -> Labels:
    ids = [f"s{i}" for i in range(len(target))]
    return Labels(ids, ["train"] * len(ids), target, attributes, target_name="hired")


def test_a_sample_without_several_labels_counts_once_under_the_first() -> None:
    frame, names, excluded, kept = listing_frame(labels([0, None, None, 1], (SEX, [1, None, 0, None])))
    assert (frame["id"].tolist(), frame["attribute"].tolist(), names) == (["s0"], [1], ("f", "m"))
    assert (excluded, kept.tolist()) == ({"hired": 2, "sex": 1}, [True, False, False, False])


LARGE = Attribute("place", tuple(map(str, range(MOST_VALUES // 2 + 1))))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (labels([None, 1], (SEX, [0, None])), r"no sample has all of its labels \(hired, sex\): correct the labels"),
        (labels([], (SEX, [])), r"no sample has all of its labels \(the table is empty\): correct the labels"),
        (labels([0, 1]), "no attribute column is chosen: name at least one"),
        (labels([0], (LARGE, [0]), (SEX, [0])), f"the attributes have {MOST_VALUES + 2} combinations, more than {MOST_VALUES}"),
        (labels([0], *((Attribute(f"a{i}", ("0", "1")), [0]) for i in range(64))), f"have {2**64} combinations"),
        (labels([0], (Attribute("skin", ()), [None])), "the attribute 'skin' has no value in any row"),
        (labels([0], (Attribute("hired", ("a",)), [0])), "hired is target and attribute at once"),
    ],
)
def test_labels_that_give_no_groups_are_refused(given: Labels, says: str) -> None:
    with pytest.raises(InputError, match=says):
        listing_frame(given)
