"""One seed of PhotoDigits: its data, forget set and pretrained model, without a registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.dataset import Dataset, Header
from grmu_audit.data.forget import ForgetSampling, sample_forget
from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits
from grmu_audit.evaluation.predict import apply_request, predict_all
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.records import Group, Predictions
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.runtime import Runtime, choose_precision, derive_seed, move_to
from grmu_audit.unlearning.data import Rows, UnlearningData

RARE = Group(1, 0)


@dataclass(frozen=True)
class Problem:
    """One seed's data and pretrained model."""

    seed: int
    source: BatchSource
    data: UnlearningData
    base: Classifier
    runtime: Callable[[], Runtime]


def prepare(seed: int, ratio: float, device: torch.device, trained: dict[str, torch.Tensor] | None = None) -> Problem:
    """Data, forget set and pretrained model of one seed; ``trained`` weights stand in for training."""
    dataset = photodigits(PhotoDigitsOptions(seed=seed))
    source = BatchSource(dataset, device)
    data = unlearning_data(source, ForgetSampling((RARE,), ratio=ratio, seed=seed))

    def runtime() -> Runtime:
        """A fresh runtime, so that counters start at zero."""
        return Runtime(device, seed, choose_precision("auto", device))

    model = fresh_network(dataset.header, seed, device)
    if trained is not None:
        model.load_state_dict(trained)
        return Problem(seed, source, data, model.eval(), runtime)
    rows = TrainingRows(dataset.rows("train"), data.val)
    return Problem(seed, source, data, fit(model, source, rows, TrainConfig(), runtime()), runtime)


def unlearning_data(source: BatchSource, sampling: ForgetSampling) -> UnlearningData:
    """The data under one sampled request."""
    train, forgotten = source.dataset.rows("train"), forget_rows(source.dataset, sampling)
    return UnlearningData(source, np.setdiff1d(train, forgotten), forgotten, source.dataset.rows("val"))


def forget_rows(dataset: Dataset, sampling: ForgetSampling) -> Rows:
    """Row numbers of one sampled request, ascending."""
    return np.flatnonzero(dataset.frame["id"].isin(sample_forget(dataset, sampling)).to_numpy()).astype(np.int64)


def fresh_network(header: Header, seed: int, device: torch.device, options: dict[str, Any] | None = None) -> Classifier:
    """A small ResNet, or an MLP for a table, with the initial weights of a seed; ``options`` are those of the architecture."""
    architecture = "mlp" if header.kind == "table" else "small_resnet"
    classes = header.class_names
    spec = ModelSpec(architecture, len(classes), header.input_shape, header.mean, header.std, classes, options or {})
    model = build(spec, derive_seed(seed, "init"))
    move_to(model, device)
    return model


def predictions(problem: Problem, model: Classifier) -> Predictions:
    """One forward pass, under the request."""
    names = sample_names(problem.source.dataset)
    header = problem.source.dataset.header
    forget = frozenset(names[i] for i in problem.data.forget)
    outputs = predict_all(model, problem.source, problem.runtime(), names)
    return apply_request(outputs, forget, header.class_names, header.attribute_names)


def sample_names(dataset: Dataset) -> list[str]:
    """Names by row number, where a registry would have pseudonyms."""
    return [f"s{i:05d}" for i in range(len(dataset))]


def state_bytes(model: Classifier) -> bytes:
    """Weights and buffers as safetensors."""
    packed: bytes = save({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()})
    return packed
