"""Checking, sampling, splitting: forget lists against a manifest."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.data.dataset import Dataset, Header
from grmu_audit.data.forget import (
    ForgetList,
    ForgetSampling,
    Forgotten,
    check_forget_list,
    earlier_ids,
    group_table,
    request_groups,
    sample_count,
    sample_forget,
    split_rows,
)
from grmu_audit.errors import ForgetListError, InputError
from grmu_audit.evidence import pseudonym, set_digest
from grmu_audit.records import ForgetRequest, Group, GroupCount

KEY = bytes(range(32))
CLASSES, PLACES = ("land bird", "water bird"), ("land", "water")
SIZES = {(0, 0): 12, (0, 1): 4, (1, 0): 3, (1, 1): 9}


def manifest() -> pd.DataFrame:
    rows = [
        (f"{split}-{t}{a}-{i:02d}", split, t, a, (t + i) % 5)
        for split in ("train", "val", "test")
        for (t, a), n in SIZES.items()
        for i in range(n)
    ]
    return pd.DataFrame(rows, columns=["id", "split", "target", "attribute", "subject"])


def dataset(frame: pd.DataFrame) -> Dataset:
    header = Header("birds", "1", CLASSES, PLACES, kind="table", features=("x",), subject_name="subject")
    return Dataset(header, frame, np.zeros((len(frame), 1), dtype=np.float32))


def listed(*ids, header=True, **columns) -> ForgetList:
    return ForgetList("ids.csv", tuple(ids), tuple(range(2, len(ids) + 2)), columns, header=header)


def request(*ids) -> ForgetRequest:
    return ForgetRequest(tuple(ids), "hmac-sha256:0")


def test_a_good_list_becomes_a_request_with_the_keyed_digest():
    parsed = listed("train-10-01", "train-00-03", request_id=("R1", "R2"))
    made = check_forget_list(parsed, manifest(), KEY)
    assert made.ids == parsed.ids
    assert made.digest == set_digest(KEY, parsed.ids)
    assert made.columns == {"request_id": ("R1", "R2")}


def test_every_kind_of_bad_row_is_reported_at_once_with_its_number():
    parsed = listed("nobody", "train-00-00", "test-00-01", "train-00-00", "val-11-01")
    with pytest.raises(ForgetListError) as caught:
        check_forget_list(parsed, manifest(), KEY)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("forget list ids.csv: 2 problems")
    assert [re.search(r"row (\d+): (.*)", line).groups() for line in lines[1:]] == [
        ("2", "the id 'nobody' is not in the dataset: correct or remove the row"),
        ("5", "its id is already in row 3: remove one of the two"),
    ]


def test_validation_and_test_rows_are_accepted_and_withheld_from_evaluation():
    made = check_forget_list(listed("train-00-05", "test-00-01", "val-11-01"), manifest(), KEY)
    assert made.forget_set == ("train-00-05",)
    assert made.withheld == ("test-00-01", "val-11-01")
    parts, before = split_rows(manifest(), made), split_rows(manifest(), None)
    assert (len(parts.forget), len(parts.val), len(parts.test)) == (1, len(before.val) - 1, len(before.test) - 1)
    later = check_forget_list(listed("train-00-06"), manifest(), KEY, forgotten=Forgotten(made.ids))
    assert later.withheld == ("test-00-01", "val-11-01")
    assert set(later.forget_set) == {"train-00-05", "train-00-06"}
    assert later.forget_digest == set_digest(KEY, [*made.ids, "train-00-06"])


@pytest.mark.parametrize("ids", [("test-00-01",), ("val-11-01",), ("test-00-01", "val-11-01", "test-11-01")])
def test_a_request_of_nothing_but_validation_and_test_rows_says_so(ids):
    with pytest.raises(ForgetListError, match=f"all {len(ids)} ids are validation or test rows, which no model was trained on"):
        check_forget_list(listed(*ids), manifest(), KEY)


@pytest.mark.parametrize(
    ("given", "known"), [("TRAIN-00-05", "train-00-05"), ("train\u201300-05", "train-00-05"), ("1", "001"), ("7.0", "7")]
)
def test_an_unknown_id_in_another_notation_is_named(given, known):
    frame = manifest()
    frame.loc[frame["id"] == "train-00-05", "id"] = known
    with pytest.raises(ForgetListError) as caught:
        check_forget_list(listed(given), frame, KEY)
    assert f"row 2: the id {given!r} is not in the dataset (only the notation differs from {known!r})" in str(caught.value)


def test_ids_of_earlier_requests_may_be_repeated_and_stay_in_the_forget_set():
    earlier = earlier_ids(manifest(), KEY, {pseudonym(KEY, name) for name in ("train-00-05", "train-11-00")})
    assert earlier == ("train-00-05", "train-11-00")
    made = check_forget_list(listed("train-00-05", "train-00-06"), manifest(), KEY, forgotten=Forgotten(tuple(earlier)))
    assert (made.ids, made.earlier, made.repeated) == (("train-00-05", "train-00-06"), ("train-11-00",), 1)
    assert made.forget_digest == set_digest(KEY, ["train-00-05", "train-00-06", "train-11-00"]) != made.digest
    parts = split_rows(manifest(), made)
    assert len(parts.forget) == 3
    assert len(parts.retain) == 28 - 3
    with pytest.raises(ForgetListError, match="already named all 2 ids"):
        check_forget_list(listed(*earlier), manifest(), KEY, forgotten=Forgotten(tuple(earlier)))
    with pytest.raises(InputError, match="1 of 1 ids of earlier requests match no row"):
        earlier_ids(manifest(), bytes(32), {pseudonym(KEY, "train-00-05")})


def test_earlier_requests_and_a_new_one_may_not_empty_a_group_together():
    with pytest.raises(ForgetListError, match="empty the group"):
        check_forget_list(listed("train-10-02"), manifest(), KEY, forgotten=Forgotten(("train-10-00", "train-10-01")))


def test_a_first_row_that_may_be_a_header_gets_a_hint():
    with pytest.raises(ForgetListError, match="name the column of ids 'id'"):
        check_forget_list(listed("image_id", "train-00-00", header=False), manifest(), KEY)


def test_an_id_in_train_and_test_may_not_be_forgotten():
    frame = manifest()
    frame.loc[frame["id"] == "test-00-00", "id"] = "train-00-00"
    with pytest.raises(ForgetListError, match=r"in several splits \(train, test\)"):
        check_forget_list(listed("train-00-00"), frame, KEY)


@pytest.mark.parametrize(
    ("doomed", "message", "silent"),
    [
        (lambda f: (f.target == 1) & (f.attribute == 0), "the group 'water bird / land' (3 training samples)", "class"),
        (lambda f: f.target == 1, "empty class 'water bird' (12 training samples)", "the group"),
        (lambda f: f.target >= 0, "empty the training set (28 samples)", "class"),
    ],
)
def test_a_request_that_would_empty_something_names_it(doomed, message, silent):
    frame = manifest()
    ids = frame.loc[doomed(frame) & (frame["split"] == "train"), "id"]
    with pytest.raises(ForgetListError) as caught:
        check_forget_list(listed(*ids), frame, KEY, class_names=CLASSES, attribute_names=PLACES)
    assert message in str(caught.value)
    assert silent not in str(caught.value)


def test_a_request_that_leaves_one_sample_of_each_group_is_accepted():
    frame = manifest()
    train = frame[frame["split"] == "train"]
    ids = train.loc[train.duplicated(["target", "attribute"]), "id"]
    assert len(check_forget_list(listed(*ids), frame, KEY).ids) == 28 - 4


@given(st.sampled_from(sorted(SIZES)), st.floats(0.01, 0.9), st.integers(0, 2**32), st.randoms())
def test_sampling_depends_on_the_seed_and_not_on_the_order_of_rows(cell, ratio, seed, chance):
    frame, group = manifest(), Group(*cell)
    if sample_count(SIZES[cell], ratio) == SIZES[cell]:
        ratio = 0.4
    order = list(range(len(frame)))
    chance.shuffle(order)
    ids = sample_forget(dataset(frame), ForgetSampling((group,), ratio=ratio, seed=seed))
    assert ids == sample_forget(dataset(frame.iloc[order]), ForgetSampling((group,), ratio=ratio, seed=seed))
    rows = frame[frame["id"].isin(ids)]
    assert len(ids) == len(set(ids)) == len(rows) == sample_count(SIZES[cell], ratio)
    assert set(rows["split"]) == {"train"}
    assert {(t, a) for t, a in zip(rows["target"], rows["attribute"], strict=True)} == {cell}


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_min=True))
def test_counts_are_rounded_half_up_and_never_zero(n, ratio):
    exact = Fraction(repr(ratio)) * n
    assert sample_count(n, ratio) == max(1, int(exact + Fraction(1, 2)))
    assert 1 <= sample_count(n, ratio) <= n


def test_half_of_an_odd_count_is_rounded_up():
    assert [sample_count(n, 0.5) for n in (1, 3, 5, 83)] == [1, 2, 3, 42]
    assert sample_count(15, 0.1) == 2


def test_seeds_differ_and_ratios_nest_and_groups_do_not_disturb_each_other():
    frame, group, other = manifest(), Group(0, 0), Group(1, 1)
    draws = {tuple(sample_forget(dataset(frame), ForgetSampling((group,), ratio=0.5, seed=seed))) for seed in range(20)}
    assert len(draws) > 10
    small = sample_forget(dataset(frame), ForgetSampling((group,), ratio=0.3, seed=4))
    assert set(small) < set(sample_forget(dataset(frame), ForgetSampling((group,), ratio=0.7, seed=4)))
    both = sample_forget(
        dataset(frame),
        ForgetSampling(
            (
                other,
                group,
                group,
            ),
            ratio=0.3,
            seed=4,
        ),
    )
    assert both == sorted(small + sample_forget(dataset(frame), ForgetSampling((other,), ratio=0.3, seed=4)))


def test_every_sample_of_a_group_is_sampled_equally_often():
    frame = manifest()
    counts = pd.Series(
        [i for seed in range(400) for i in sample_forget(dataset(frame), ForgetSampling((Group(0, 1),), ratio=0.25, seed=seed))]
    ).value_counts()
    assert len(counts) == 4
    assert counts.min() > 60  # 100 expected, sd 8.7


def test_class_subject_and_random_draws():
    frame = manifest().set_index("id", drop=False)
    by_class = frame.loc[sample_forget(dataset(frame), ForgetSampling(class_="1", ratio=0.5, seed=0))]
    assert len(by_class) == 6
    assert set(by_class["target"]) == {1}
    by_subject = frame.loc[sample_forget(dataset(frame), ForgetSampling(subject="2", ratio=1.0, seed=0))]
    assert set(by_subject["subject"]) == {2}
    assert len(by_subject) == int(((frame["split"] == "train") & (frame["subject"] == 2)).sum())
    assert len(sample_forget(dataset(frame), ForgetSampling(random=True, ratio=0.1, seed=0))) == 3


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.01, float("nan"), float("inf")])
def test_ratios_out_of_range_are_refused(ratio):
    with pytest.raises(InputError, match="ratio"):
        sample_forget(dataset(manifest()), ForgetSampling(random=True, ratio=ratio))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "exactly one of a group"),
        ({"groups": ()}, "exactly one of a group"),
        ({"random": True, "class_": "0"}, "exactly one of a group"),
        ({"random": True, "seed": -1}, "seed is -1"),
        ({"random": True, "seed": 1.5}, "seed is 1.5"),
        ({"groups": (Group(2, 0),)}, "target 2, attribute 0"),
        ({"class_": "7"}, "no class 7"),
        ({"subject": "nobody"}, "this subject"),
    ],
)
def test_impossible_samples_are_refused(how, message):
    with pytest.raises(InputError, match=re.escape(message)):
        sample_forget(dataset(manifest()), ForgetSampling(**how))


def test_a_sample_that_would_empty_a_group_is_refused_with_its_name():
    with pytest.raises(ForgetListError, match="water bird / land"):
        sample_forget(dataset(manifest()), ForgetSampling((Group(1, 0),), ratio=1.0))


@given(st.sets(st.integers(0, 27), max_size=28))
def test_splits_are_disjoint_exhaustive_and_follow_the_request(picked):
    frame = manifest()
    ids = tuple(frame["id"].iloc[sorted(picked)])
    parts = split_rows(frame, request(*ids))
    together = [*parts.retain, *parts.forget, *parts.val, *parts.test]
    assert sorted(together) == list(range(len(frame)))
    assert set(parts.forget) == picked
    assert set(frame["split"].iloc[list(parts.retain)]) <= {"train"}
    assert all(type(row) is int for row in together)


def test_splits_refuse_what_they_cannot_place_and_show_no_id():
    frame = manifest()
    assert split_rows(frame, None).forget == ()
    with pytest.raises(InputError, match="1 of 2 requested ids") as caught:
        split_rows(frame, request("train-00-00", "test-00-00"))
    assert "test-00-00" not in str(caught.value)
    frame.loc[3, "split"] = "dev"
    with pytest.raises(InputError, match="1 of 84 manifest rows"):
        split_rows(frame, None)


def test_composition_counts_every_declared_cell():
    frame = manifest()
    parts = split_rows(frame, request("train-10-00", "train-10-01", "train-00-00"))
    table = group_table(frame, parts, CLASSES, (*PLACES, "sky"))
    assert [row.group for row in table] == [Group(t, a) for t in (0, 1) for a in (0, 1, 2)]
    assert table[3] == GroupCount(Group(1, 0), "water bird / land", train=3, retain=1, forget=2, val=3, test=3)
    assert table[2] == GroupCount(Group(0, 2), "land bird / sky", 0, 0, 0, 0, 0)
    assert sum(row.forget for row in table) == 3
    assert request_groups(table) == (Group(1, 0),)
    tied = group_table(frame, split_rows(frame, request("train-11-00", "train-01-00")), CLASSES, PLACES)
    assert request_groups(tied) == (Group(0, 1), Group(1, 1))
    assert request_groups(table, [Group(1, 1), Group(0, 0), Group(1, 1)]) == (Group(0, 0), Group(1, 1))
    assert request_groups(group_table(frame, split_rows(frame, None), CLASSES, PLACES)) == ()


def test_composition_refuses_labels_without_a_name():
    frame = manifest()
    with pytest.raises(InputError, match=r"36 of 84 manifest rows have a 'target' outside 0\.\.0"):
        group_table(frame, split_rows(frame, None), CLASSES[:1], PLACES)
