"""A tiny problem for each family of architectures: images, a table, texts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer
from support import multinli
from support.tiny import CPU, dataset

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.catalog import DataSpec, load_dataset
from grmu_audit.data.dataset import COLUMNS, Dataset, Header
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.unlearning.data import UnlearningData

VIT = {"dim": 16, "depth": 2, "heads": 2, "head_dim": 8, "mlp": 16, "patch": 8}
BERT = {"vocabulary": 40, "hidden": 16, "layers": 2, "heads": 2, "intermediate": 32, "positions": 16, "sep": 3}


@dataclass(frozen=True)
class Family:
    source: BatchSource
    data: UnlearningData
    model: Classifier


def spec(name: str) -> ModelSpec:
    image = dataset().header
    if name == "bert":
        header = texts().header
        return ModelSpec("bert", 3, header.input_shape, (), (), header.class_names, {**BERT, "vocabulary": 700, "positions": 64})
    if name == "mlp":
        header = table().header
        return ModelSpec("mlp", 2, header.input_shape, header.mean, header.std, header.class_names, {"hidden": [8, 8]})
    options: dict[str, dict[str, Any]] = {"small_vit": VIT, "resnet18": {"stem": "cifar"}, "small_resnet": {"widths": [6, 12]}}
    return ModelSpec(name, 2, image.image_size, image.mean, image.std, image.class_names, options[name])


@cache
def table() -> Dataset:
    """Real measurements of cells; the attribute is whether the mean radius lies above the median."""
    cells = load_breast_cancer()
    values = cells.data.astype(np.float32)
    n = len(values)
    split = np.where(np.arange(n) % 5 < 3, "train", np.where(np.arange(n) % 5 == 3, "val", "test"))
    large = (values[:, 0] > np.median(values[:, 0])).astype(np.int64)
    columns = [[f"cell-{i}" for i in range(n)], split.tolist(), cells.target.astype(np.int64), large, list(range(n))]
    frame = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
    train = values[split == "train"]
    header = Header(
        name="cells",
        version="1",
        class_names=("malignant", "benign"),
        attribute_names=("small", "large"),
        kind="table",
        features=tuple(cells.feature_names.tolist()),
        mean=tuple(train.mean(0).tolist()),
        std=tuple(train.std(0).tolist()),
    )
    return Dataset(header, frame, values)


@cache
def texts() -> Dataset:
    """Pairs of sentences."""
    with TemporaryDirectory() as folder:
        multinli.write(Path(folder), 120)
        return load_dataset(DataSpec("multinli", {"root": folder}))


@cache
def family(name: str, rows: int = 24) -> Family:
    """A few rows of the family's data; a third of the training rows is to be forgotten; fresh weights."""
    found = {"mlp": table, "bert": texts}.get(name, dataset)()
    source = BatchSource(found, CPU)
    train = found.rows("train")[:rows]
    data = UnlearningData(source, train[rows // 3 :], train[: rows // 3], found.rows("val")[:8])
    return Family(source, data, build(spec(name), 0).eval())


def inputs(model: Classifier, count: int = 3) -> torch.Tensor:
    """Random inputs of the model's kind."""
    generator = torch.Generator().manual_seed(0)
    if model.spec.kind == "text":
        return torch.randint(4, 40, (count, *model.spec.image_size), generator=generator)
    return torch.rand(count, *model.spec.image_size, generator=generator)
