"""A tiny PhotoDigits problem that every method runs on in a second."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.runtime import Runtime, derive_seed
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.methods import methods

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Tiny:
    dataset: Dataset
    source: BatchSource
    data: UnlearningData
    model: Classifier


@cache
def dataset() -> Dataset:
    return photodigits(PhotoDigitsOptions(renders=1))


def spec() -> ModelSpec:
    header = dataset().header
    return ModelSpec("small_resnet", 2, header.image_size, header.mean, header.std, header.class_names, {"widths": [6, 12]})


def runtime(seed: int = 0, device: torch.device = CPU) -> Runtime:
    return Runtime(device=device, seed=seed)


@cache
def tiny() -> Tiny:
    """240 training samples, of which 20 of the rare group (1, 0) are to be forgotten; a model trained until it fits."""
    data = dataset()
    source = BatchSource(data, CPU)
    train = data.rows("train")
    group = source.group.numpy()[train]
    rare = train[group == 2][:40]
    kept = np.concatenate([train[group == code][:count] for code, count in ((0, 80), (1, 40), (3, 80))])
    split = UnlearningData(source, np.sort(np.concatenate([kept, rare[20:]])), rare[:20], data.rows("val")[:100])
    model = build(spec(), derive_seed(0, "init"))
    everything = np.sort(np.concatenate([split.retain, split.forget]))
    fit(model, source, TrainingRows(everything, split.val), TrainConfig(epochs=12, augment=False, batch_size=32), runtime())
    return Tiny(data, source, split, model)


def result(name: str, data: UnlearningData | None = None, **settings: object):  # type: ignore[no-untyped-def]
    problem, method = tiny(), methods.get(name)
    return apply_method(method, problem.model, data or problem.data, method.config(**settings), runtime())
