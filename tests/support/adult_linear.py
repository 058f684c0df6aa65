"""A linear model on the Adult table, as certified removal needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measurements.adult import adult
from grmu_audit.cli.app import execute
from grmu_audit.data.batches import BatchSource
from grmu_audit.data.catalog import DataSpec, load_dataset
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.runtime import Runtime
from grmu_audit.unlearning.data import Rows, UnlearningData

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Adult:
    source: BatchSource
    train: Rows
    val: Rows

    def data(self, forget: Rows, served: Rows) -> UnlearningData:
        return UnlearningData(self.source, np.setdiff1d(self.train, forget), forget, self.val, served=served)

    def spec(self, **options: object) -> ModelSpec:
        header = self.source.dataset.header
        return ModelSpec("linear", 2, header.input_shape, header.mean, header.std, header.class_names, options)

    def trained(self, rows: Rows, seed: int = 0, **options: Any) -> Classifier:
        model = build(self.spec(**options), 0)
        return fit(model, self.source, TrainingRows(rows, self.val), TrainConfig(), run(seed))

    def women_of_higher_income(self) -> Rows:
        names = dict(enumerate(self.source.dataset.frame["attribute"]))
        female = self.source.dataset.header.attribute_names.index("Female")
        target = self.source.dataset.frame["target"].to_numpy()
        return np.array([row for row in self.train if target[row] == 1 and names[row] == female])


def run(seed: int = 0) -> Runtime:
    return Runtime(CPU, seed, secret="a key")


def read_adult(folder: Path, people: int) -> Adult:
    adult(folder / "adult.csv", people)
    line = ["data", "import", "--table", str(folder / "adult.csv"), "--target", "salary", "--positive", ">50K"]
    assert execute(["--quiet", *line, "--attribute", "sex", "--out", str(folder / "adult.yaml")]) == 0
    dataset = load_dataset(DataSpec(str(folder / "adult.yaml"), {}))
    return Adult(BatchSource(dataset, CPU), dataset.rows("train"), dataset.rows("val"))
