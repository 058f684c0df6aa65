"""Fairness-gap and accuracy under FGSM after unlearning: ten classes of digits, a ResNet and a small ViT, several seeds.

python -m benchmarks.pages.robustness --cache FOLDER [--seeds 3] [--requests random,class] [--write docs]

Every (network, request, method, seed) is one JSON file under ``benchmarks/results/robustness``, so that an interrupted run
continues where it stopped; the page is written from the files that are there.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from benchmarks.measurements.comparison import LARGEST_SHARES
from benchmarks.measurements.effect import machine
from benchmarks.measurements.kept import RESULTS
from benchmarks.measurements.problem import state_bytes
from grmu_audit.data.batches import BatchSource
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits
from grmu_audit.evaluation.adversarial import Attack, predict_adversarial
from grmu_audit.evaluation.layer_statistics import folds_of, layer_table
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.inference import accuracy, infer
from grmu_audit.training.runtime import Runtime, derive_seed, move_to
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.methods import methods
from grmu_audit.utils import canonical_json, write_atomic

STORED = RESULTS / "robustness"
METHODS = ("retrain", *LARGEST_SHARES)
ORIGINAL = "original"
RADII = (2 / 255, 4 / 255, 8 / 255, 0.1)
FORGOTTEN_CLASS = 3
SHARE = 0.1
SCALES = (0.3, 0.1, 0.03, 0.01)
MOST_LOST = 0.05
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Network:
    """An architecture with its training recipe."""

    title: str
    architecture: str
    options: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)

    def settings(self, method: str) -> dict[str, Any]:
        """The method's defaults on this recipe: its learning rate has the same ratio to that of the usual recipe."""
        if method == "retrain":
            return dict(self.recipe)
        ratio = TrainConfig(**self.recipe).learning_rate / TrainConfig().learning_rate
        own = {key: value for key, value in self.recipe.items() if key != "epochs"}
        return {**own, "learning_rate": methods.get(method).config().learning_rate * ratio}

    def attempts(self, method: str) -> list[tuple[str, dict[str, Any]]]:
        """Settings in the order in which they are tried, each with what differs from the first: the option that the method names
        for this, else the learning rate."""
        chosen, usual = methods.get(method), self.settings(method)
        if chosen.exact:
            return [("", usual)]
        if chosen.gentler is not None:
            name, values = chosen.gentler
            return [("", usual), *((f"{name} {value:g}", {**usual, name: value}) for value in values)]
        rate = usual["learning_rate"]
        return [("", usual), *((f"rate x {scale:g}", {**usual, "learning_rate": rate * scale}) for scale in SCALES)]


VIT = {"patch": 8, "dim": 64, "depth": 3, "heads": 4, "head_dim": 16, "mlp": 128, "dropout": 0.0}
NETWORKS = (
    Network("ResNet", "small_resnet", {"widths": [12, 24, 48]}),
    Network("ViT", "small_vit", VIT, {"epochs": 100, "optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.05}),
)


@cache
def ten_digits(seed: int) -> Dataset:
    """PhotoDigits with ten classes."""
    return photodigits(PhotoDigitsOptions(seed=seed, classes=10))


class Problem:
    """One seed's data, request and original network, which is stored in the cache folder."""

    def __init__(self, network: Network, request: str, seed: int, device: torch.device, folder: Path) -> None:
        self.network, self.request, self.seed, self.device = network, request, seed, device
        self.source = BatchSource(ten_digits(seed), device)
        dataset = self.source.dataset
        train = dataset.rows("train")
        target = dataset.frame["target"].to_numpy()
        forget = target[train] == FORGOTTEN_CLASS
        if request == "random":
            forget = np.zeros(len(train), dtype=bool)
            forget[np.random.default_rng([seed, 5]).permutation(len(train))[: round(SHARE * len(train))]] = True
        self.data = UnlearningData(self.source, train[~forget], train[forget], dataset.rows("val"))
        test = dataset.rows("test")
        self.test: Rows = test if request == "random" else test[target[test] != FORGOTTEN_CLASS]
        self.original = self._original(folder / f"original-{network.title}-{seed}.safetensors")

    def runtime(self) -> Runtime:
        """A fresh one."""
        return Runtime(self.device, self.seed)

    def _original(self, path: Path) -> Classifier:
        header = self.source.dataset.header
        spec = ModelSpec(
            self.network.architecture, 10, header.image_size, header.mean, header.std, header.class_names, self.network.options
        )
        model = build(spec, derive_seed(self.seed, "init"))
        move_to(model, self.device)
        if path.is_file():
            model.load_state_dict(load_file(path))
            return model.eval()
        dataset = self.source.dataset
        rows = TrainingRows(dataset.rows("train"), dataset.rows("val"))
        fit(model, self.source, rows, TrainConfig(**self.network.recipe), self.runtime())
        write_atomic(path, state_bytes(model))
        return model

    def model(self, method: str) -> tuple[Classifier, str]:
        """The original, or the model that a method returns for it, and how its settings differ from the defaults.

        They are the first of its ``attempts`` at which validation accuracy on the retained classes falls by at most
        ``MOST_LOST``: chosen without the test split and without a retrained model.
        """
        if method == ORIGINAL:
            return self.original, ""
        chosen, before = methods.get(method), self._validation(self.original)
        for change, settings in self.network.attempts(method):
            model = apply_method(chosen, self.original, self.data, chosen.config(**settings), self.runtime())
            found = model, change
            if self._validation(model) >= before - MOST_LOST:
                break
        return found

    def _validation(self, model: Classifier) -> float:
        val = self.data.val
        if self.request == "class":
            val = val[self.source.target.cpu().numpy()[val] != FORGOTTEN_CLASS]
        return accuracy(model, self.source, val, self.runtime())

    def _moved(self, model: Classifier) -> float:
        """Mean absolute change of the probability of the label over the forget set, from the original."""
        rows, label = self.data.forget, self.source.target.cpu()[self.data.forget].unsqueeze(1)
        now, before = (
            infer(one, self.source, rows, self.runtime()).float().cpu().softmax(1).gather(1, label)
            for one in (model, self.original)
        )
        return float((now - before).abs().mean())

    def measure(self, method: str) -> dict[str, Any]:
        """All numbers of one run."""
        start = time.perf_counter()
        model, change = self.model(method)
        seconds = time.perf_counter() - start
        under = predict_adversarial(model, self.source, self.test, Attack("FGSM", RADII), self.runtime())
        truth = self.source.target.cpu().numpy()[self.test]
        subject = self.source.dataset.frame["subject"].to_numpy()[self.test]
        tables = {
            "test": layer_table(model, self.source, self.test, folds_of(subject)),
            "retain": layer_table(model, self.source, self.data.retain, folds_of(np.arange(len(self.data.retain)))),
        }
        found = {
            f"{key}/{split}": values[:, 0]
            for split, table in tables.items()
            if table is not None
            for key, values in table.values.items()
        }
        if not found:
            raise ValueError(f"{self.network.title} has no normalisation layer")
        runtime = self.runtime()
        parts = {"RA": self.data.retain, "UA": self.data.forget, "TA": self.test}
        return {
            "network": self.network.title,
            "request": self.request,
            "method": method,
            "seed": self.seed,
            "seconds": seconds,
            "machine": machine(self.source.device),
            "change": change,
            "accuracy": {name: accuracy(model, self.source, rows, runtime) for name, rows in parts.items()},
            "attacked": {name: float((answer == truth).mean()) for name, answer in under.items()},
            "moved": self._moved(model),
            "gaps": {key: np.ptp(values, axis=1).tolist() for key, values in found.items()},
        }


def path_of(network: Network, request: str, method: str, seed: int) -> Path:
    """File of one run; its name is a digest of what the numbers depend on but the code."""
    tried = [] if method == ORIGINAL else network.attempts(method)
    settings = [methods.get(method).config(**one).model_dump(mode="json") for _, one in tried]
    named = [asdict(network), request, method, settings, seed, list(RADII), SHARE, FORGOTTEN_CLASS, MOST_LOST, "retain"]
    return STORED / f"{hashlib.sha256(canonical_json(named)).hexdigest()[:16]}.json"


def runs(seeds: int, requests: list[str]) -> Iterator[tuple[int, Network, str, str]]:
    """Every run: seed, network, request, method."""
    for seed in range(seeds):
        for request in requests:
            for network in NETWORKS:
                for method in (ORIGINAL, *METHODS):
                    yield seed, network, request, method


def measure_all(cached: Path, seeds: int, requests: list[str], device: torch.device) -> None:
    """Measure what ``STORED`` does not hold yet; original models stay in the cache folder."""
    cached.mkdir(parents=True, exist_ok=True)
    STORED.mkdir(parents=True, exist_ok=True)

    @cache
    def problem(title: str, request: str, seed: int) -> Problem:
        """Made once for all methods."""
        return Problem(next(n for n in NETWORKS if n.title == title), request, seed, device, cached)

    for seed, network, request, method in runs(seeds, requests):
        path = path_of(network, request, method, seed)
        if path.is_file():
            continue
        result = problem(network.title, request, seed).measure(method)
        write_atomic(path, canonical_json(result))
        shown = {**result["accuracy"], **result["attacked"]}
        text = " ".join(f"{name} {value:.3f}" for name, value in shown.items())
        sys.stderr.write(
            f"seed {seed} {network.title} {request} {method}: {text} {result['change'] or 'defaults'} {result['seconds']:.1f} s\n"
        )
        sys.stderr.flush()
