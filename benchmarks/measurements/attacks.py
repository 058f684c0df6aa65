"""Do the attacks find what is there?  A model that memorised, retrained models of other seeds, and a weak method.

python -m benchmarks.pages.attacks --cache FOLDER [--shadows 16] [--seeds 3] [--write docs/attacks.md]

The pool of shadow models, and every trained model, are stored in the cache folder, so that an interrupted run continues.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.measurements.comparison import LARGEST_SHARES
from benchmarks.measurements.problem import state_bytes
from grmu_audit.data.batches import BatchSource
from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits
from grmu_audit.evaluation.predict import apply_request, predict_all
from grmu_audit.evaluation.shadow_models import Rows, ShadowPool, UnlearnedPool
from grmu_audit.metrics import CheckedPredictions, check_predictions
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.records.white_box import ShadowTable
from grmu_audit.training.config import TrainConfig
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.runtime import Runtime, derive_seed, move_to
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.methods import methods
from grmu_audit.utils import write_atomic

SHARE = 0.2
RECIPE = TrainConfig(augment=False, keep_best=False)
UNTOUCHED = "untouched"
"""In the place of a method: nothing is done."""
SETTINGS: dict[str, dict[str, Any]] = {
    UNTOUCHED: {},
    "retrain": {"keep_best": False},
    **{name: {} for name in LARGEST_SHARES},
    "gradient_ascent": {"epochs": 2, "learning_rate": 0.002},
    "ft": {"epochs": 2},
}
"""Floor, ceiling, ``LARGEST_SHARES``, and two weak ones, so
short that none diverges on a shadow model, with the options that differ from the defaults."""


class Study:
    """One dataset, one forget set, one pool.

    Args:
        cache: folder of everything that is stored.
        device: where to compute.
    """

    def __init__(self, cache: Path, device: torch.device) -> None:
        self.cache, self.device = cache, device
        self.dataset = photodigits(PhotoDigitsOptions(seed=0, renders=1))
        self.source = BatchSource(self.dataset, device)
        header = self.dataset.header
        self.spec = ModelSpec(
            "small_resnet", 2, header.image_size, header.mean, header.std, header.class_names, {"widths": [12, 24, 48]}
        )
        self.train = self.dataset.rows("train")
        chosen = np.random.default_rng([0, 41]).permutation(len(self.train)) < SHARE * len(self.train)
        self.forget, self.retain = self.train[chosen], self.train[~chosen]
        self.names = np.array([f"s{i:05d}" for i in range(len(self.dataset))])
        self.pool = ShadowPool(cache / "pools", self.source, build(self.spec, 0), RECIPE, self.runtime(0))

    def runtime(self, seed: int) -> Runtime:
        """A fresh one."""
        return Runtime(self.device, seed)

    def trained(self, name: str, rows: Rows, seed: int) -> Classifier:
        """A model trained on rows without augmentation, from the cache where it is there."""
        return self._cached(name, lambda model: fit(model, self.source, TrainingRows(rows), RECIPE, self.runtime(seed)), seed)

    def _cached(self, name: str, make: Callable[[Classifier], Classifier], seed: int) -> Classifier:
        path = self.cache / f"{name}.safetensors"
        model = build(self.spec, derive_seed(seed, "init"))
        move_to(model, self.device)
        if path.is_file():
            model.load_state_dict(load_file(path))
            return model.eval()
        made = make(model)
        write_atomic(path, state_bytes(made))
        return made

    def run(self, method: str, model: Classifier, retain: Rows, forget: Rows, runtime: Runtime) -> Classifier:
        """One unlearning run with the method's defaults, without augmentation."""
        if method == UNTOUCHED:
            return model
        chosen = methods.get(method)
        data = UnlearningData(self.source, retain, forget, self.dataset.rows("val"))
        return apply_method(chosen, model, data, chosen.config(augment=False, **SETTINGS[method]), runtime)

    def unlearned(self, name: str, method: str, original: Classifier) -> Classifier:
        """The original after a method."""
        return self._cached(name, lambda _: self.run(method, original, self.retain, self.forget, self.runtime(0)), 0)

    def checked(self, model: Classifier, forget: Rows) -> CheckedPredictions:
        """Predictions of a model, with ``forget`` in the place of the forget set."""
        header = self.dataset.header
        outputs = predict_all(model, self.source, self.runtime(0), self.names.tolist())
        return check_predictions(
            apply_request(outputs, frozenset(self.names[forget]), header.class_names, header.attribute_names)
        )

    def table(self, shadows: int, method: str | None = None) -> ShadowTable:
        """The pool's table, after a method where one is named; the cost is reported before anything is trained."""
        sys.stderr.write(self.pool.cost(shadows).words("shadow models", None) + "\n")
        self.pool.train_missing(shadows)
        table = self.pool.table(shadows, self.names)
        if method is None:
            return table
        bank = UnlearnedPool(
            self.pool,
            {"method": method, "share": SHARE, **SETTINGS[method]},
            self.forget,
            lambda *given: self.run(method, *given),
        )
        bank.train_missing(shadows)
        return bank.add_to(table, shadows)
