"""How inputs are prepared for a checkpoint that others trained: stated by its owner, stored with the weights, or assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from grmu_audit.data.dataset import Dataset, Framing, Header
from grmu_audit.data.images.near_duplicates import hashes_of
from grmu_audit.data.images.store import ImageStore, image_digest
from grmu_audit.data.listing import Listing
from grmu_audit.errors import InputError
from grmu_audit.utils.yaml_files import read_mapping

TORCHVISION = "torchvision:"
"""Prefix of the names of torchvision's weights."""
SCALED = 255.0


def _one_side(value: object) -> object:
    """``[224]`` and ``{"shortest_edge": 224}`` as 224; ``{"height": 224, "width": 224}`` as a pair."""
    if isinstance(value, Mapping):
        value = [value["shortest_edge"]] if "shortest_edge" in value else [value.get("height"), value.get("width")]
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


Side = Annotated[int, Field(ge=8, le=1024)]


class Preprocess(BaseModel):
    """What is done with an input before the network sees it; what is left out stays as the data has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: Annotated[Side | tuple[Side, Side] | None, BeforeValidator(_one_side)] = None
    """Height and width of an input; one number for a square."""
    resize: Annotated[Annotated[int, Field(ge=8, le=4096)] | Literal["stretch"] | None, BeforeValidator(_one_side)] = None
    """Shorter side that an image is resized to before its centre is cut out, or ``stretch``: all of it becomes the input."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """Of the resize; antialiased, as Pillow's."""
    orientation: Literal["applied", "ignored"] = "applied"
    """Whether an EXIF orientation is applied; torchvision's ``ImageFolder`` ignores it."""
    mean: tuple[float, ...] | None = None
    """Subtracted from pixels in [0, 1], per channel; from raw columns of a table, per column."""
    std: tuple[float, ...] | None = None
    """Divided by, likewise."""

    @model_validator(mode="after")
    def _whole(self) -> Preprocess:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together: give both")
        if self.mean is not None and self.std is not None and (len(self.mean) != len(self.std) or not min(self.std) > 0):
            raise ValueError("mean and std need as many numbers each, std above 0")
        if self.resize is not None and self.size is None:
            raise ValueError("resize needs size, the side of an input")
        if isinstance(self.resize, int) and self.size is not None and self.resize < max(self.sides):
            raise ValueError(f"resize is {self.resize}, less than the side of an input, {max(self.sides)}")
        return self

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width; only where ``size`` is given."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size or (0, 0)

    def to_json(self) -> dict[str, object]:
        """What was stated, as a ``DataSpec`` stores it."""
        return self.model_dump(mode="json", exclude_unset=True)


def read_preprocess(source: str) -> Preprocess:
    """From ``torchvision:NAME`` (a set of weights such as ``ResNet18_Weights.IMAGENET1K_V1``), or a YAML or JSON file.

    Files: the keys of ``Preprocess``; Hugging Face's ``preprocessor_config.json``; timm's ``config.json``.

    Raises:
        InputError: no such weights, no such file, or a key that is not known.
    """
    if source.startswith(TORCHVISION):
        return _of_torchvision(source.removeprefix(TORCHVISION))
    path = Path(source)
    if not path.is_file():
        raise InputError(
            f"--preprocess {source}: no such file; or name weights of torchvision, as {TORCHVISION}ResNet18_Weights.DEFAULT"
        )
    return preprocess_of(read_mapping(path, "description of the preprocessing", ", such as {size: 224, resize: 256}"), source)


def preprocess_of(tree: object, source: str) -> Preprocess:
    """From the tree of a file or of a checkpoint's entry.

    Raises:
        InputError: it is no mapping, or a key is not known or has an impossible value.
    """
    if not isinstance(tree, Mapping):
        raise InputError(
            f"preprocessing of {source}: a mapping is needed, such as {{size: 224, resize: 256, mean: [...], std: [...]}}"
        )
    try:
        known = _of_hugging_face(tree) if "image_mean" in tree else _of_timm(tree.get("pretrained_cfg", tree))
    except (KeyError, TypeError, IndexError, ArithmeticError, ValueError) as error:
        raise InputError(
            f"preprocessing of {source}: a key that it needs is missing or has an impossible value "
            f"({type(error).__name__}: {error}): correct the file"
        ) from None
    try:
        return Preprocess.model_validate(known if known is not None else dict(tree))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise InputError(
            f"preprocessing of {source}: {place}: {first['msg'].removeprefix('Value error, ')}; "
            f"known: {', '.join(Preprocess.model_fields)}"
        ) from None


def _of_torchvision(name: str) -> Preprocess:
    """The transforms that torchvision publishes with a set of weights; nothing is downloaded."""
    from torchvision.models import get_weight

    try:
        preset = get_weight(name).transforms()
        found = {
            "size": preset.crop_size,
            "resize": preset.resize_size,
            "interpolation": preset.interpolation.value,
            "mean": preset.mean,
            "std": preset.std,
        }
    except (ValueError, AttributeError, KeyError):
        raise InputError(
            f"--preprocess {TORCHVISION}{name}: torchvision has no such weights for images; names are as "
            "ResNet18_Weights.IMAGENET1K_V1"
        ) from None
    return preprocess_of(found, f"{TORCHVISION}{name}")


def _of_hugging_face(tree: Mapping[Any, Any]) -> dict[str, object]:
    """Keys of an image processor's configuration."""
    crop = tree.get("crop_size") if tree.get("do_center_crop") else None
    size = _one_side(tree.get("size"))
    return {
        "size": crop or size,
        "resize": size if crop and tree.get("do_resize", True) else "stretch",
        "interpolation": {2: "bilinear", 3: "bicubic"}.get(tree.get("resample", 2), str(tree.get("resample"))),
        **_scaling_of_hugging_face(tree),
    }


def _scaling_of_hugging_face(tree: Mapping[Any, Any]) -> dict[str, object]:
    """Mean and deviation that do at once, on pixels in [0, 1], what the processor does in steps on bytes.

    Bytes times ``rescale_factor``, minus 1 where ``rescale_offset`` says so; minus mean, divided by deviation; with
    ``include_top`` (EfficientNet) divided by the deviation once more.
    """
    mean, std = (np.asarray(tree[name], dtype=np.float64) for name in ("image_mean", "image_std"))
    rescaled = bool(tree.get("do_rescale", True))
    factor = SCALED * float(tree.get("rescale_factor", 1 / SCALED)) if rescaled else SCALED
    offset = 1.0 if rescaled and tree.get("rescale_offset") else 0.0
    again = std if tree.get("include_top") else np.ones_like(std)
    if not tree.get("do_normalize", True):
        mean, std = np.zeros_like(mean), np.ones_like(std)
    if not factor > 0:
        raise ValueError("rescale_factor must be above 0")
    # the published factor is 1 / 255 with 16 digits, whose product with 255 is not 1 to the last bit
    factor = 1.0 if np.isclose(factor, 1.0, rtol=1e-9) else factor
    return {"mean": ((offset + mean) / factor).tolist(), "std": (std * again / factor).tolist()}


def _of_timm(tree: Any) -> dict[str, object] | None:
    """Keys of timm's ``pretrained_cfg``; None where it is none."""
    if not isinstance(tree, Mapping) or "crop_pct" not in tree:
        return None
    size = tree["input_size"][1]
    return {
        "size": size,
        "resize": int(size / tree["crop_pct"]),
        "interpolation": tree.get("interpolation", "bilinear"),
        "mean": tree["mean"],
        "std": tree["std"],
    }


def prepared(found: Dataset | Listing, how: Preprocess) -> Dataset | Listing:
    """The same samples, prepared in another way.

    Raises:
        InputError: it does not suit the data.
    """
    header = found.header
    if header.kind == "text":
        raise InputError("--preprocess is for images and tables: texts are prepared by their tokenizer")
    _check_channels(header, how)
    if header.kind == "table" and how.size is not None:
        raise InputError("--preprocess: size and resize are for images; a table has mean and std for each column")
    arrays = isinstance(found, Dataset) and not isinstance(found.pixels, ImageStore)
    if arrays and how.size is None:
        return replace(found, header=replace(header, **_scaling(header, how)))
    sides = how.sides if how.size is not None else header.image_size[1:]
    view = Framing(*_mode(header, how), how.interpolation, how.orientation == "applied", exact=True)
    changed = replace(header, image_size=(header.image_size[0], *sides), view=view, **_scaling(header, how))
    if isinstance(found, Dataset):
        return replace(found, header=changed, pixels=_in_memory(np.asarray(found.pixels)) if arrays else found.pixels)
    return replace(found, header=changed)


def _check_channels(header: Header, how: Preprocess) -> None:
    wanted = len(header.features) if header.kind == "table" else header.image_size[0]
    if how.mean is not None and len(how.mean) != wanted:
        what = f"{wanted} columns" if header.kind == "table" else f"{wanted} channels"
        raise InputError(f"--preprocess: mean and std have {len(how.mean)} numbers, inputs of {header.name} have {what}")


def _scaling(header: Header, how: Preprocess) -> dict[str, Any]:
    return {"mean": how.mean or header.mean, "std": how.std or header.std}


def _mode(header: Header, how: Preprocess) -> tuple[str, int]:
    """Mode and shorter side of the view."""
    if how.size is None:
        return header.view.mode, header.view.shorter
    return ("crop", how.resize) if isinstance(how.resize, int) else ("stretch", 0)


def _in_memory(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> ImageStore:
    """[n, 3, height, width] as a store of images that are cut and resized for each sample.

    Raises:
        InputError: the images have not three channels.
    """
    if pixels.shape[1] != 3:
        raise InputError(f"--preprocess: only images of three channels are resized, these have {pixels.shape[1]}: leave size out")
    images = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    heights, widths = (np.full(len(images), side, dtype=np.int64) for side in images.shape[1:3])
    return ImageStore(images.reshape(-1), heights, widths, tuple(map(image_digest, images)), hashes_of(images))


def describe_input(header: Header, source: str) -> str:
    """What is done with an input, in one line for people.

    Args:
        header: of the data as the network sees it.
        source: where that comes from, in words.
    """
    if header.kind == "text":
        return f"input: texts of at most {header.length} tokens, numbered by the data's tokenizer ({source})"
    if header.kind == "table":
        return f"input: {len(header.features)} columns, each minus its mean over its standard deviation ({source})"
    height, width = header.image_size[1:]
    view = header.view
    shown = {
        "crop": f"shorter side resized to {view.shorter}, centre of {height} x {width} cut out",
        "stretch": f"whole image resized to {height} x {width}",
    }.get(view.mode, f"as stored, {height} x {width}")
    resized = f", {view.interpolation}, antialiased" if view.mode != "as-is" else ""
    turned = "applied" if view.upright else "ignored"
    numbers = f"mean {_numbers(header.mean)}, std {_numbers(header.std)}"
    return f"input: {shown}{resized}; EXIF orientation {turned}; RGB / {SCALED:.0f}, {numbers} ({source})"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
