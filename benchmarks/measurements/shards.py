"""Ensembles of shards on PhotoDigits: what a request costs with each rule, and what the rule costs in group accuracy."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.measurements.problem import RARE, unlearning_data
from grmu_audit.data.batches import BatchSource
from grmu_audit.data.forget import ForgetSampling
from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.models.guaranteed import concentrated_places
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.guaranteed.shards import require_ensemble, same_bits
from grmu_audit.training.inference import accuracy
from grmu_audit.training.runtime import Runtime, derive_seed, move_to
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.methods import methods

SHARDS = 4
NETWORK = {"widths": [8, 16, 32]}
"""Options of each small ResNet."""
EPOCHS = 12
"""Epochs of the one network."""
TRAINING: dict[str, Any] = {"batch_size": 32, "optimizer": "adam", "learning_rate": 0.003}
VALIDATION = 100
"""Validation images that the epoch of each network is chosen by."""
CODE = [
    "grmu_audit/models/guaranteed.py",
    "grmu_audit/training/fit.py",
    "grmu_audit/training/loop.py",
    "grmu_audit/training/guaranteed/shards.py",
    "grmu_audit/unlearning/guaranteed/shards.py",
    "benchmarks/measurements/shards.py",
]
"""What the results depend on."""
REQUESTS = {"one image": 0.0, "half of the rare group": 0.5}
"""Share of the rare group that is forgotten; 0 stands for its first image."""
KINDS = ("one network", "balanced shards", "concentrated shards")
"""What is trained; members train for more epochs, so that each makes as many steps as the one network."""


def measure_seed(seed: int) -> dict[str, Any]:
    """Every kind of network and request of one seed."""
    dataset = photodigits(PhotoDigitsOptions(seed=seed))
    source = BatchSource(dataset, torch.device("cpu"))
    everything = UnlearningData(source, dataset.rows("train"), dataset.rows("train")[:0], dataset.rows("val")[:VALIDATION])
    requests = {name: _request(source, everything, share, seed) for name, share in REQUESTS.items()}
    return {kind: _measure_kind(kind, seed, everything, requests) for kind in KINDS}


def _request(source: BatchSource, everything: UnlearningData, share: float, seed: int) -> UnlearningData:
    data = unlearning_data(source, ForgetSampling((RARE,), ratio=share or 0.1, seed=seed))
    forget = data.forget if share else data.forget[:1]
    return replace(data, forget=forget, retain=np.setdiff1d(everything.retain, forget), val=everything.val)


def _measure_kind(kind: str, seed: int, everything: UnlearningData, requests: dict[str, UnlearningData]) -> dict[str, Any]:
    source, config = everything.source, TrainConfig(epochs=EPOCHS if kind == KINDS[0] else SHARDS * EPOCHS, **TRAINING)
    model = build(_spec(kind, source, everything), derive_seed(seed, "init"))
    move_to(model, source.device)
    fit(model, source, TrainingRows(everything.retain, everything.val), config, Runtime(source.device, seed))
    found: dict[str, Any] = {"before": _accuracy(everything, model)}
    for name, data in requests.items():
        found[name] = _measure_request(kind, seed, model, data, config)
    return found


def _measure_request(kind: str, seed: int, model: Classifier, data: UnlearningData, config: TrainConfig) -> dict[str, Any]:
    if kind == KINDS[0]:
        return _run("retrain", seed, model, data, config)[1]
    result, facts = _run("retrain_shards", seed, model, data, config)
    untouched = [n for n in range(SHARDS) if n not in facts["retrained"]]
    one, other = require_ensemble(model), require_ensemble(result)
    facts["untouched_equal"] = all(same_bits(one.members[n], other.members[n]) for n in untouched)
    return facts


def _run(name: str, seed: int, model: Classifier, data: UnlearningData, config: TrainConfig) -> tuple[Classifier, dict[str, Any]]:
    method, runtime = methods.get(name), Runtime(data.source.device, seed)
    start = time.process_time()
    result = apply_method(method, model, data, method.config(epochs=config.epochs, **TRAINING), runtime)
    seconds = time.process_time() - start
    facts = {"sample_gradients": runtime.sample_gradients, "cpu_seconds": seconds, **_accuracy(data, result)}
    facts["share_of_full"] = runtime.sample_gradients / (config.epochs * len(data.retain))
    return result, facts | {"retrained": runtime.notes.get("shards", {}).get("retrained", [])}


def _spec(kind: str, source: BatchSource, everything: UnlearningData) -> ModelSpec:
    header, options = source.dataset.header, dict[str, Any](NETWORK)
    if kind != KINDS[0]:
        options = {"shards": SHARDS, "rule": kind.split()[0], "member_options": NETWORK}
    if kind == KINDS[2]:
        counts = np.bincount(everything.groups_of(everything.retain), minlength=source.groups)
        options["places"] = [list(places) for places in concentrated_places(counts, SHARDS)]
    name = "small_resnet" if kind == KINDS[0] else "sisa"
    return ModelSpec(name, 2, header.image_size, header.mean, header.std, header.class_names, options)


def _accuracy(data: UnlearningData, model: Classifier) -> dict[str, float]:
    """Test accuracy of the rare group and of all."""
    source, test = data.source, data.source.dataset.rows("test")
    rare = test[source.group.numpy()[test] == RARE.target * source.attributes + RARE.attribute]
    runtime = Runtime(source.device, 0)
    return {"GA": accuracy(model, source, rare, runtime), "TA": accuracy(model, source, test, runtime)}
