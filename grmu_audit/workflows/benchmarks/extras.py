"""Measurements on the network itself: fairness-gaps of layers, accuracy under FGSM, forget accuracy after fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit.utils.yaml_files import typed_config

if TYPE_CHECKING:
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.unlearning.data import UnlearningData


def measure_extras(model: Classifier, data: UnlearningData, wanted: Mapping[str, Any], runtime: Runtime) -> dict[str, Any]:
    """Numbers of ``records.benchmark.BenchmarkRow.extras``.

    Args:
        model: as it is measured; not changed.
        data: rows of the request.
        wanted: ``white_box``, ``return_epochs``, and ``recipe``, which the model before was trained with.
        runtime: device and seed.
    """
    white_box = _white_box(model, data, runtime) if wanted["white_box"] else {}
    return white_box | ({"returned": _returned(model, data, wanted, runtime)} if wanted["return_epochs"] else {})


def _white_box(model: Classifier, data: UnlearningData, runtime: Runtime) -> dict[str, Any]:
    """Gap of each normalisation layer between classes on the retain set, and accuracy on the test split under FGSM."""
    from grmu_audit.evaluation.adversarial import Attack, predict_adversarial
    from grmu_audit.evaluation.layer_statistics import folds_of, layer_table
    from grmu_audit.metrics.white_box.layer_gaps import gap_per_layer
    from grmu_audit.records.white_box import RADII_OF

    rows, retain = data.source.dataset.rows("test"), data.retain
    found: dict[str, Any] = {"layers": [], "fairness_gap": [], "fgsm": {}}
    table = layer_table(model, data.source, retain, folds_of(np.arange(len(retain)))) if len(retain) else None
    if table is not None:
        gaps = gap_per_layer(table, "class")[:, 0]
        found |= {"layers": list(table.layers), "fairness_gap": [_plain(gap) for gap in gaps]}
    if model.spec.kind != "text" and len(rows):
        target = data.source.target.cpu().numpy()[rows]
        answers = predict_adversarial(model, data.source, rows, Attack("FGSM", RADII_OF["FGSM"]), runtime)
        found["fgsm"] = {name: float(np.mean(answer == target)) for name, answer in answers.items()}
    return found


def _returned(model: Classifier, data: UnlearningData, wanted: Mapping[str, Any], runtime: Runtime) -> dict[str, float]:
    """Accuracy on the forget set as the model is, after each epoch of fine-tuning on the retain set, and after roundings."""
    from grmu_audit.evaluation.durability import FineTuning, fine_tune
    from grmu_audit.training.config import TrainConfig

    recipe = typed_config(TrainConfig, wanted["recipe"])
    tuning = FineTuning(data.retain, recipe, wanted["return_epochs"], runtime.precision)
    target = data.source.target.cpu().numpy()
    found = fine_tune(model, data.source, tuning, runtime)
    rows = data.forget
    return {name: float(np.mean(answers.prediction[rows] == target[rows])) for name, answers in found.items()}


def _plain(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
