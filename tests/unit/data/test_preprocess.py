"""Inputs as their owner prepared them: our pixels against torchvision's on Pillow's images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.layouts import photograph

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.catalog import DataSpec, load_dataset, read_listing
from grmu_audit.data.dataset import Dataset, Framing, Header, header_tree
from grmu_audit.data.preprocess import Preprocess, describe_input, prepared, preprocess_of, read_preprocess
from grmu_audit.errors import InputError

SIZES = [(50, 44), (44, 60), (320, 213), (300, 427), (90, 72)]
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures of several sizes with their manifest; the last one is turned by its EXIF orientation."""
    from PIL import Image

    root = tmp_path_factory.mktemp("pictures")
    exif = Image.Exif()
    exif[0x0112] = 6
    lines = ["id,path,split,y,a"]
    for i, (width, height) in enumerate(SIZES):
        picture = photograph(("china.jpg", "flower.jpg")[i % 2]).crop((10 * i, 0, 10 * i + width, height))
        picture.save(root / f"{i}.png", exif=exif if i == len(SIZES) - 1 else None)
        lines.append(f"{i},{i}.png,{('train', 'val', 'test')[i % 3]},{i % 2},{i % 2}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    head = "name: p\nkind: image\nrows: labels.csv\nsize: 32\ntarget: {column: y, values: [0, 1]}\n"
    (root / "own.yaml").write_text(head + "attributes: [{column: a, values: [0, 1]}]\n")
    return root


@pytest.mark.parametrize(
    "how",
    [
        {"size": 32, "resize": 36, **IMAGENET},
        {"size": [24, 40], "resize": "stretch"},
        {"size": 32, "resize": 32, "interpolation": "bicubic", "orientation": "ignored"},
        {"size": 64, "resize": 73, "orientation": "ignored"},
    ],
    ids=lambda how: f"{how['resize']}-{how.get('interpolation')}",
)
def test_pixels_are_those_of_torchvision(folder: Path, how: dict[str, Any]) -> None:
    from PIL import Image, ImageOps
    from torchvision import transforms

    found = load_dataset(DataSpec(str(folder / "own.yaml"), {"preprocess": how}))
    ours = BatchSource(found, torch.device("cpu")).inputs.take(torch.arange(len(SIZES)))
    mode = transforms.InterpolationMode(how.get("interpolation", "bilinear"))
    size = how["size"] if isinstance(how["size"], list) else [how["size"]] * 2
    resized = [transforms.Resize(size if how["resize"] == "stretch" else how["resize"], mode), transforms.CenterCrop(size)]
    theirs = transforms.Compose([*resized, transforms.ToTensor()])
    for i in range(len(SIZES)):
        with Image.open(folder / f"{i}.png") as picture:
            upright = picture if how.get("orientation") == "ignored" else ImageOps.exif_transpose(picture)
            wanted = theirs(upright.convert("RGB"))
        assert float((ours[i] - wanted).abs().max()) * 255 < 1.01
    assert found.header.mean == tuple(how.get("mean", (0.5, 0.5, 0.5)))


def test_arrays_are_resized_where_a_size_is_stated() -> None:
    plain = load_dataset(DataSpec("photodigits", {"renders": 1}))
    found = load_dataset(DataSpec("photodigits", {"renders": 1, "preprocess": {"size": 64, "resize": "stretch"}}))
    rows = torch.arange(3)
    small, large = (BatchSource(one, torch.device("cpu")).inputs.take(rows) for one in (plain, found))
    wanted = torch.nn.functional.interpolate(small, size=(64, 64), mode="bilinear", antialias=True)
    assert large.shape == (3, 3, 64, 64)
    assert float((large - wanted).abs().max()) < 2 / 255
    assert found.digest != plain.digest


def test_digests_of_older_data_do_not_change() -> None:
    header = Header("x", "1", ("a", "b"), ("c",))
    assert header_tree(header)["view"] == {"mode": "as-is", "shorter": 0}
    assert header_tree(Header("x", "1", ("a", "b"), ("c",), view=Framing(upright=False)))["view"]["upright"] is False


def test_presets_of_torchvision_without_a_download() -> None:
    found = read_preprocess("torchvision:EfficientNet_B0_Weights.IMAGENET1K_V1")
    assert (found.size, found.resize, found.interpolation, found.mean) == (224, 256, "bicubic", tuple(IMAGENET["mean"]))
    assert read_preprocess("torchvision:ResNet18_Weights.DEFAULT").resize == 256
    with pytest.raises(InputError, match="torchvision has no such weights for images"):
        read_preprocess("torchvision:ResNet18")


@pytest.mark.parametrize(
    ("tree", "wanted"),
    [
        ({"size": 64, **IMAGENET}, Preprocess(size=64, **IMAGENET)),
        (
            {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"shortest_edge": 256}, "do_center_crop": True,
             "crop_size": {"height": 224, "width": 224}, "resample": 3},
            Preprocess(size=(224, 224), resize=256, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3),
        ),
        (
            {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": 224, "width": 224}, "resample": 2},
            Preprocess(size=(224, 224), resize="stretch", mean=(0.5,) * 3, std=(0.5,) * 3),
        ),
        (
            {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 224, "do_normalize": False},
            Preprocess(size=224, resize="stretch", mean=(0.0,) * 3, std=(1.0,) * 3),
        ),
        (
            {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": 224, "rescale_factor": 0.00392156862745098},
            Preprocess(size=224, resize="stretch", mean=(0.5,) * 3, std=(0.25,) * 3),
        ),
        (
            {"pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bicubic", **IMAGENET}},
            Preprocess(size=224, resize=256, interpolation="bicubic", **IMAGENET),
        ),
    ],
)  # fmt: skip
def test_files_of_others(tmp_path: Path, tree: dict[str, Any], wanted: Preprocess) -> None:
    (tmp_path / "config.json").write_text(json.dumps(tree))
    found = read_preprocess(str(tmp_path / "config.json"))
    assert found == wanted
    assert preprocess_of(found.to_json(), "x") == found


@pytest.mark.parametrize(
    "tree",
    [
        {"do_rescale": False},
        {"do_rescale": False, "do_normalize": False},
        {"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False},
        {"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_rescale": False},
        {"rescale_factor": 1 / 255, "include_top": True},
        {"rescale_factor": 1 / 100, "include_top": True, "do_normalize": False},
    ],
)
def test_every_step_on_the_values_of_pixels_is_that_of_the_image_processor(tree: dict[str, Any]) -> None:
    mean, std = np.array([120.0, 0.5, 0.4]), np.array([60.0, 0.3, 0.2])
    pixels = np.arange(256.0)[:, None] * np.ones(3)
    wanted = pixels  # the steps of transformers' EfficientNetImageProcessor, one after the other
    if tree.get("do_rescale", True):
        wanted = pixels * tree["rescale_factor"] - (1 if tree.get("rescale_offset") else 0)
    if tree.get("do_normalize", True):
        wanted = (wanted - mean) / std
    if tree.get("include_top"):
        wanted = wanted / std
    found = preprocess_of({"image_mean": mean.tolist(), "image_std": std.tolist(), "size": 224, **tree}, "x")
    assert np.allclose((pixels / 255 - np.array(found.mean)) / np.array(found.std), wanted)


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"sise": 3}, "sise: Extra inputs are not permitted; known: size, resize"),
        ({"size": 64, "resize": 32}, "resize is 32, less than the side of an input, 64"),
        ({"resize": 32}, "resize needs size, the side of an input"),
        ({"mean": [0, 0, 0]}, "mean and std belong together"),
        ({"mean": [0, 0, 0], "std": [1, 0, 1]}, "std above 0"),
        ({"mean": [0, 0, 0], "std": [1, float("nan"), 1]}, "std.1: Input should be a finite number"),
        ({"size": 64, "interpolation": "nearest"}, "interpolation: Input should be 'bilinear' or 'bicubic'"),
        ([], "a mapping is needed"),
        (
            {"crop_pct": 0.9, "input_size": [3, 224, 224]},
            "a key that it needs is missing or has an impossible value (KeyError: 'mean')",
        ),
        ({"crop_pct": 0, "input_size": [3, 224, 224]}, "a key that it needs is missing or has an impossible value"),
        ({"image_mean": [0.5, 0.5, 0.5], "size": 224}, "(KeyError: 'image_std'): correct the file"),
        ({"image_mean": [0.5], "image_std": [0.5], "rescale_factor": 0}, "(ValueError: rescale_factor must be above 0)"),
        ({"image_mean": [0.5], "image_std": [0.5], "rescale_factor": "x"}, "has an impossible value (ValueError"),
    ],
)
def test_impossible_ones_are_refused(tree: object, says: str) -> None:
    with pytest.raises(InputError) as caught:
        preprocess_of(tree, "f.yaml")
    assert says in str(caught.value)


def test_it_has_to_suit_the_data() -> None:
    with pytest.raises(InputError, match="mean and std have 1 numbers, inputs of photodigits have 3 channels"):
        read_listing(DataSpec("photodigits", {"preprocess": {"mean": [0.5], "std": [0.5]}}))


def test_what_is_assumed_is_said(folder: Path) -> None:
    header = read_listing(DataSpec(str(folder / "own.yaml"))).header
    assert describe_input(header, "assumed") == (
        "input: shorter side resized to 37, centre of 32 x 32 cut out, bilinear, antialiased; EXIF orientation applied; "
        "RGB / 255, mean 0.5 0.5 0.5, std 0.5 0.5 0.5 (assumed)"
    )
    assert np.isclose(header.mean[0], 0.5)


def test_a_file_that_is_not_there_is_named_with_the_other_way(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--preprocess .*absent.yaml: no such file; or name weights of torchvision"):
        read_preprocess(str(tmp_path / "absent.yaml"))


def small_header(kind: str) -> Header:
    names = ("x", "1", ("a", "b"), ("c", "d"))
    if kind == "table":
        return Header(*names, kind="table", features=("u", "v"), mean=(0.0, 1.0), std=(1.0, 2.0))
    if kind == "text":
        return Header(*names, kind="text", length=48, mean=(), std=())
    return Header(*names, image_size=(1, 8, 8), mean=(0.5,), std=(0.5,))


def small_dataset(kind: str, pixels: np.ndarray[Any, Any]) -> Dataset:
    columns = {"id": ["p", "q"], "split": ["train", "test"], "target": [0, 1], "attribute": [0, 1], "subject": [0, 1]}
    return Dataset(small_header(kind), pd.DataFrame(columns), pixels)


@pytest.mark.parametrize(
    ("kind", "shape", "how", "says"),
    [
        ("text", (2, 3), {"mean": [0.0], "std": [1.0]}, "texts are prepared by their tokenizer"),
        ("table", (2, 2), {"mean": [0.0], "std": [1.0]}, "mean and std have 1 numbers, inputs of x have 2 columns"),
        ("table", (2, 2), {"size": 8}, "size and resize are for images; a table has mean and std for each column"),
        ("image", (2, 1, 8, 8), {"size": 8}, "only images of three channels are resized, these have 1: leave size out"),
    ],
)
def test_what_is_for_other_inputs_is_refused(kind: str, shape: tuple[int, ...], how: dict[str, Any], says: str) -> None:
    found = small_dataset(kind, np.zeros(shape, dtype=np.uint8 if kind == "image" else np.float32))
    with pytest.raises(InputError, match=says):
        prepared(found, preprocess_of(how, "x"))


def test_numbers_of_a_table_replace_its_own_and_the_cells_stay() -> None:
    found = small_dataset("table", np.array([[1, 2], [3, 4]], dtype=np.float32))
    changed = prepared(found, preprocess_of({"mean": [5.0, 6.0], "std": [7.0, 8.0]}, "x"))
    assert isinstance(changed, Dataset)
    assert (changed.header.mean, changed.header.std) == ((5.0, 6.0), (7.0, 8.0))
    assert np.asarray(changed.pixels).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_without_a_size_the_view_of_the_data_stays(folder: Path) -> None:
    plain = read_listing(DataSpec(str(folder / "own.yaml"))).header
    found = read_listing(DataSpec(str(folder / "own.yaml"), {"preprocess": {"interpolation": "bicubic"}})).header
    assert (plain.view.mode, plain.view.shorter) == (found.view.mode, found.view.shorter) == ("crop", 37)
    assert found.image_size == plain.image_size == (3, 32, 32)
    assert (plain.view.interpolation, found.view.interpolation) == ("bilinear", "bicubic")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("text", "input: texts of at most 48 tokens, numbered by the data's tokenizer (stated)"),
        ("table", "input: 2 columns, each minus its mean over its standard deviation (stated)"),
    ],
)
def test_inputs_that_are_no_images_are_described(kind: str, says: str) -> None:
    assert describe_input(small_header(kind), "stated") == says
