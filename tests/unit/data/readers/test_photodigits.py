from __future__ import annotations

import numpy as np
import pytest
from support.tiny import dataset

from grmu_audit.data.catalog import DataSpec, datasets, load_dataset
from grmu_audit.data.readers.photodigits import SIZES, PhotoDigitsOptions, photodigits
from grmu_audit.errors import InputError, NotFoundError


def test_sizes_columns_and_pixels() -> None:
    data = dataset()
    assert {s: len(data.rows(s)) for s in SIZES} == SIZES
    assert list(data.frame.columns) == ["id", "split", "target", "attribute", "subject"]
    assert data.frame["id"].is_unique
    assert data.pixels.shape == (1797, 3, 32, 32)
    assert data.pixels.dtype == np.uint8


def test_same_options_same_digest_other_seed_other_digest() -> None:
    again = photodigits(PhotoDigitsOptions(renders=1))
    assert again.digest == dataset().digest
    assert photodigits(PhotoDigitsOptions(renders=1, seed=1)).digest != dataset().digest


def test_one_pixel_changes_the_digest() -> None:
    data = dataset()
    pixels = data.pixels.copy()
    pixels[1000, 1, 5, 5] ^= 1
    changed = type(data)(data.header, data.frame, pixels)
    assert changed.digest != data.digest


def test_attribute_agrees_with_the_target_as_often_as_requested() -> None:
    data = dataset()
    train = data.frame[data.frame["split"] == "train"]
    rate = float((train["target"] == train["attribute"]).mean())
    assert abs(rate - 0.85) < 4 * (0.85 * 0.15 / 1100) ** 0.5
    test = data.frame[data.frame["split"] == "test"]
    assert abs(float((test["target"] == test["attribute"]).mean()) - 0.5) < 4 * 0.5 / 497**0.5


def test_ten_classes_are_the_digits_on_the_same_pictures() -> None:
    two, ten = dataset(), photodigits(PhotoDigitsOptions(renders=1, classes=10))
    assert np.array_equal(two.pixels, ten.pixels)
    assert np.array_equal(two.frame["attribute"], ten.frame["attribute"])
    assert np.array_equal(two.frame["target"], ten.frame["target"] >= 5)
    assert ten.header.class_names[7] == "digit 7"
    assert two.digest != ten.digest


def test_renders_share_the_subject_but_not_the_crop() -> None:
    data = photodigits(PhotoDigitsOptions(renders=3))
    test = data.frame[data.frame["split"] == "test"]
    assert set(test.groupby("subject").size()) == {3}
    assert len(set(data.content)) == len(data)


def test_no_digit_is_in_two_splits() -> None:
    frame = dataset().frame
    assert set(frame.groupby("subject")["split"].nunique()) == {1}


def test_targets_are_the_digits_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    frame = dataset().frame
    expected = load_digits().target[frame["subject"].to_numpy()] >= 5
    assert (frame["target"].to_numpy().astype(bool) == expected).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"correlation": 1.0}, "correlation is 1.0"),
        ({"renders": 0}, "renders is 0"),
        ({"classes": 3}, "classes is 3, must be 2 or 10"),
        ({"seed": -1}, "seed is -1"),
        ({"colour": 1}, "unknown option"),
        ({"seed": "x"}, "not a number"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(DataSpec("photodigits", options))


def test_unknown_dataset_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'photodigits'"):
        load_dataset(DataSpec("fotodigits"))
    assert "photodigits" in datasets.names()
