"""Makes and loads the models that the gate is tried on.

python -m benchmarks.pages.gate --population --cache FOLDER [--seeds 10-19] [--cells B,D,A,C,E]

A model is one file in the cache folder: the logits of all samples of all splits, the CPU time, and what it was made from.  The
file's name is a digest of that, so that an interrupted run continues where it stopped, and other settings make other models.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.measurements.gate import BEFORE, FULL, KINDS, Cell, Kind, Scale
from benchmarks.measurements.problem import forget_rows, fresh_network, sample_names, state_bytes, unlearning_data
from grmu_audit.data.batches import BatchSource
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.forget import ForgetSampling
from grmu_audit.errors import DivergedError, IntegrityError
from grmu_audit.evaluation.predict import apply_request, outputs_of, predict_all
from grmu_audit.models.classifier import Classifier
from grmu_audit.records import Predictions
from grmu_audit.training.fit import TrainingRows, fit
from grmu_audit.training.runtime import Runtime, hardware
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import UnlearningData
from grmu_audit.unlearning.method import MethodConfig
from grmu_audit.utils import write_atomic
from grmu_audit.utils.array_files import Array, DamagedFileError, pack_arrays, unpack_arrays

Facts = dict[str, Any]
"""``kind``, ``seed``, ``config`` and more see ``Trial.make``; ``seconds`` of CPU time; ``diverged``, why there are no logits."""


class Trial:
    """One cell and seed.

    Args:
        cell: request and recipe.
        seed: of data, request and the model before.
        scale: size of the study.
        cache: folder of the models.
        device: where to compute.
    """

    def __init__(self, cell: Cell, seed: int, scale: Scale, cache: Path, device: torch.device) -> None:
        self.cell, self.seed, self.scale, self.cache, self.device = cell, seed, scale, cache, device
        self.dataset = scale.dataset(seed, cell.data)
        self.source = BatchSource(self.dataset, device)
        self.data: UnlearningData = unlearning_data(self.source, cell.sampling(seed))
        self.weights = path_of(cache, BEFORE, cell, seed, scale).with_suffix(".safetensors")

    @cached_property
    def before(self) -> Classifier:
        """The model before the request, from the cache where its weights are there."""
        if not self.weights.is_file():
            write_atomic(self.weights, state_bytes(self._trained(BEFORE, Runtime(self.device, self.seed))))
        model = self.fresh(self.seed)
        model.load_state_dict(load_file(self.weights))
        return model.eval()

    def make(self, kind: Kind) -> tuple[Facts, dict[str, Array]]:
        """Facts and logits of a model; one that diverged has no logits.

        ``seconds`` is the CPU time of making the model and of its forward pass, without what other models need too.
        """
        before = None if kind is BEFORE else self.before
        runtime, start = Runtime(self.device, kind.run_seed(self.seed)), time.process_time()
        made_from, key = kind.made_from(self.cell, self.seed, self.scale), kind.key(self.cell, self.seed, self.scale)
        facts: Facts = {"kind": kind.name, "key": key, **made_from, "diverged": None}
        arrays: dict[str, Array] = {}
        try:
            model = self._trained(kind, runtime) if kind.method is None else self._unlearned(kind, runtime)
            logits = predict_all(model, self.source, runtime, sample_names(self.dataset)).logits
            arrays["logits"] = logits.astype(np.float32)
            if before is None:
                write_atomic(self.weights, state_bytes(model))
            facts["distance"] = distance(model if before is None else before, model)
        except DivergedError as error:
            facts["diverged"] = str(error)
        facts |= {"seconds": time.process_time() - start, "sample_gradients": runtime.sample_gradients}
        return facts | {"dataset_sha256": self.dataset.digest, "hardware": hardware(self.device)}, arrays

    def once(self, kind: Kind) -> tuple[Facts, dict[str, Array]]:
        """What ``make`` gives, from the cache folder where it is there."""
        path = path_of(self.cache, kind, self.cell, self.seed, self.scale)
        if not path.is_file():
            write_atomic(path, zlib.compress(pack_arrays(*self.make(kind)), 9))
        return read(path)

    def predictions(self, logits: Array) -> Predictions:
        """Logits of all samples as predictions under the cell's request."""
        return predictions_of(self.dataset, self.cell.sampling(self.seed), logits)

    def _trained(self, kind: Kind, runtime: Runtime) -> Classifier:
        rows = TrainingRows(self.dataset.rows("train"), self.data.val)
        return fit(self.fresh(runtime.seed), self.source, rows, kind.config(self.cell, self.scale), runtime)

    def _unlearned(self, kind: Kind, runtime: Runtime) -> Classifier:
        config = kind.config(self.cell, self.scale)
        assert kind.method is not None
        assert isinstance(config, MethodConfig)
        data = self.data.reweighted() if kind.reweight else self.data
        return apply_method(kind.method, self.before, data, config, runtime)

    def fresh(self, seed: int) -> Classifier:
        """A network with the initial weights of a seed."""
        return fresh_network(self.dataset.header, seed, self.device, self.scale.network(self.cell.data))


def distance(before: Classifier, after: Classifier) -> float:
    """Euclidean distance of weights and running statistics, as a share of the length of those before."""
    then, now = ({k: v.double() for k, v in m.state_dict().items() if v.is_floating_point()} for m in (before, after))
    apart = sum(float((now[name] - value).square().sum()) for name, value in then.items())
    return float(np.sqrt(apart / sum(float(value.square().sum()) for value in then.values())))


@dataclass(frozen=True)
class Job:
    """One model to be made."""

    cell: Cell
    seed: int
    kind: Kind


def missing_jobs(cells: Sequence[Cell], seeds: Sequence[int], cache: Path, scale: Scale = FULL) -> list[Job]:
    """Models that the cache folder does not hold, cell by cell, seed by seed; those of which nothing is claimed come last.

    A model that cells share is made in the first of them.
    """
    every = [Job(cell, seed, kind) for cell in cells for seed in seeds for kind in KINDS]
    found: dict[Path, Job] = {}
    for job in sorted(every, key=lambda job: job.kind.role == "method"):
        found.setdefault(path_of(cache, job.kind, job.cell, job.seed, scale), job)
    return [job for path, job in found.items() if not path.is_file()]


Report = Callable[[Job, Facts, Sequence[Job]], None]
"""Told of each model that was made: its facts, and which are left."""


def make_population(
    wanted: Sequence[Job], cache: Path, report: Report, scale: Scale = FULL, device: torch.device | None = None
) -> None:
    """Make models and store each as soon as it is ready."""
    trial: Trial | None = None
    for done, job in enumerate(wanted, 1):
        if trial is None or (trial.cell, trial.seed) != (job.cell, job.seed):
            trial = Trial(job.cell, job.seed, scale, cache, device or torch.device("cpu"))
        report(job, trial.once(job.kind)[0], wanted[done:])


def path_of(cache: Path, kind: Kind, cell: Cell, seed: int, scale: Scale) -> Path:
    """File of a model."""
    return cache / f"{kind.key(cell, seed, scale)}.model"


def read(path: Path) -> tuple[Facts, dict[str, Array]]:
    """Facts and arrays of a stored model.

    Raises:
        IntegrityError: the file is damaged.
    """
    try:
        return unpack_arrays(zlib.decompress(path.read_bytes()))
    except (zlib.error, DamagedFileError) as error:
        raise IntegrityError(f"{path} is damaged ({error}): remove it and make the population again") from None


def load_facts(cache: Path, cell: Cell, seed: int, scale: Scale = FULL) -> dict[str, Facts]:
    """What is known of each stored model of a cell and seed, by kind."""
    paths = {kind.name: path_of(cache, kind, cell, seed, scale) for kind in KINDS}
    return {name: read(path)[0] for name, path in paths.items() if path.is_file()}


def load(cache: Path, cell: Cell, seed: int, scale: Scale = FULL) -> dict[str, Predictions]:
    """Predictions of each stored model of a cell and seed under its request, by kind; models that diverged have none.

    Raises:
        IntegrityError: a file is damaged, or of other data than PhotoDigits gives today.
    """
    dataset, found = scale.dataset(seed, cell.data), {}
    for kind in KINDS:
        path = path_of(cache, kind, cell, seed, scale)
        if not path.is_file():
            continue
        facts, arrays = read(path)
        if facts["dataset_sha256"] != dataset.digest:
            raise IntegrityError(f"{path} was made from other data than PhotoDigits gives today: raise GENERATION")
        if "logits" in arrays:
            found[kind.name] = predictions_of(dataset, cell.sampling(seed), arrays["logits"])
    return found


def predictions_of(dataset: Dataset, sampling: ForgetSampling, logits: Array) -> Predictions:
    """Logits of all samples as predictions under a sampled request."""
    names, header = sample_names(dataset), dataset.header
    forget = frozenset(names[row] for row in forget_rows(dataset, sampling))
    outputs = outputs_of(dataset, logits.astype(np.float64), names)
    return apply_request(outputs, forget, header.class_names, header.attribute_names)
