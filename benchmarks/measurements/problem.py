"""One seed of PhotoDigits: its data, forget set and pretrained model, without a registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.forget import ForgetSampling, sample_forget
from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits
from grmu_audit.evaluation.predict import apply_request, predict_all
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.records import Group, Predictions
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.runtime import Runtime, choose_precision, derive_seed, move_to
from grmu_audit.unlearning.data import UnlearningData

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
    forget = set(sample_forget(dataset, ForgetSampling((RARE,), ratio=ratio, seed=seed)))
    train = dataset.rows("train")
    is_forget = dataset.frame["id"].isin(forget).to_numpy()[train]
    data = UnlearningData(source, train[~is_forget], train[is_forget], dataset.rows("val"))

    def runtime() -> Runtime:
        """A fresh runtime, so that counters start at zero."""
        return Runtime(device, seed, choose_precision("auto", device))

    header = dataset.header
    spec = ModelSpec("small_resnet", 2, header.image_size, header.mean, header.std, header.class_names)
    model = build(spec, derive_seed(seed, "init"))
    move_to(model, device)
    if trained is not None:
        model.load_state_dict(trained)
        return Problem(seed, source, data, model.eval(), runtime)
    return Problem(seed, source, data, fit(model, source, TrainingRows(train, data.val), TrainConfig(), runtime()), runtime)


def predictions(problem: Problem, model: Classifier) -> Predictions:
    """One forward pass, under the request."""
    frame = problem.source.dataset.frame
    names = [f"s{i:05d}" for i in range(len(frame))]
    header = problem.source.dataset.header
    forget = frozenset(names[i] for i in problem.data.forget)
    outputs = predict_all(model, problem.source, problem.runtime(), names)
    return apply_request(outputs, forget, header.class_names, header.attribute_names)
