"""The job of a suite that trains, retrains or unlearns one model, and what jobs share: data, networks, results.

A result holds the logits of all rows, and for a model before the request also its weights.  Rows are named by their number; no id
of a sample is stored.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grmu_audit.data.catalog import DataSpec, load_dataset
from grmu_audit.errors import DivergedError, IntegrityError
from grmu_audit.jobs import Job, JobFolder
from grmu_audit.utils import canonical_json
from grmu_audit.utils.array_files import Array, DamagedFileError, pack_arrays, unpack_arrays
from grmu_audit.utils.resources import VERSION
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.benchmarks.extras import measure_extras
from grmu_audit.workflows.benchmarks.plan import job_of, sampling_of
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.network import NetworkChoice, model_spec, with_start_weights

if TYPE_CHECKING:
    import torch

    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.records import Predictions
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.unlearning.data import Rows, UnlearningData

Facts = dict[str, Any]
"""``diverged``, ``sample_gradients``, ``seconds``, ``extras``, ``hardware``, ``tool``."""


@dataclass(frozen=True)
class Problem:
    """The data of a job on its device."""

    dataset: Dataset
    """All samples."""
    device: torch.device
    """Where to compute."""

    @cached_property
    def source(self) -> BatchSource:
        """The data on the device."""
        from grmu_audit.data.batches import BatchSource

        return BatchSource(self.dataset, self.device)

    @cached_property
    def names(self) -> list[str]:
        """Rows by number, where a registry would have pseudonyms."""
        return [f"s{row:07d}" for row in range(len(self.dataset))]

    def forget_rows(self, request: Mapping[str, Any] | None) -> Rows:
        """Row numbers of a sampled request, ascending; none without one."""
        from grmu_audit.data.forget import sample_forget

        if request is None:
            return np.zeros(0, dtype=np.int64)
        forget = sample_forget(self.dataset, sampling_of(request))
        return np.flatnonzero(self.dataset.frame["id"].isin(forget).to_numpy()).astype(np.int64)

    def unlearning_data(self, request: Mapping[str, Any] | None, reweight: bool) -> UnlearningData:
        """Retain, forget and validation rows under a request."""
        from grmu_audit.unlearning.data import UnlearningData

        forget, train = self.forget_rows(request), self.dataset.rows("train")
        data = UnlearningData(self.source, np.setdiff1d(train, forget), forget, self.dataset.rows("val"))
        return data.reweighted() if reweight else data

    def predictions(self, logits: Array, request: Mapping[str, Any]) -> Predictions:
        """Logits of all rows under a request."""
        from grmu_audit.evaluation.predict import apply_request, outputs_of

        header = self.dataset.header
        forget = frozenset(self.names[row] for row in self.forget_rows(request))
        outputs = outputs_of(self.dataset, logits.astype(np.float64), self.names)
        return apply_request(outputs, forget, header.class_names, header.attribute_names)


def open_problem(given: Mapping[str, Any]) -> Problem:
    """The data that a job names; the data of a worker's last job is kept in memory.

    Raises:
        IntegrityError: it is not the data that the job was made for.
    """
    from grmu_audit.training.runtime import choose_device

    data = given["data"]
    found = _opened(data["name"], canonical_json(data["options"]).decode(), str(choose_device(given["device"])))
    if found.dataset.digest != data["digest"]:
        raise IntegrityError(
            f"{data['name']} has digest {found.dataset.digest} here, and {data['digest']} where the jobs were made: give every "
            "worker the same data at the same path"
        )
    return found


@lru_cache(maxsize=1)
def _opened(name: str, options: str, device: str) -> Problem:
    import torch

    return Problem(load_dataset(DataSpec(name, json.loads(options))), torch.device(device))


def run_model_job(job: Job, folder: JobFolder) -> bytes:
    """Train, retrain or unlearn a model: facts, logits of all rows, and the weights of a model before the request."""
    from grmu_audit.evaluation.predict import predict_all
    from grmu_audit.models.weights import packed_tensors
    from grmu_audit.training.runtime import Runtime, hardware

    given, problem = job.arguments, open_problem(job.arguments)
    runtime = Runtime(problem.device, given["seed"], given["precision"])
    facts: Facts = {"diverged": "", "extras": {}, "tool": f"grmu-audit {VERSION}", "hardware": hardware(problem.device)}
    arrays: dict[str, Array] = {}
    start = _clock(problem.device)
    try:
        model = _created(given, problem, runtime, folder)
        facts |= {"seconds": _clock(problem.device) - start, "sample_gradients": runtime.sample_gradients}
        arrays["logits"] = predict_all(model, problem.source, runtime, problem.names).logits.astype(np.float32)
        if given["training"] is not None:
            arrays["state"] = packed_tensors(model.state_dict())
        if given["extras"]:
            data = problem.unlearning_data(given["request"], given["reweight"])
            facts["extras"] = measure_extras(model, data, given["extras"], runtime)
    except DivergedError as error:
        facts |= {"diverged": str(error), "seconds": _clock(problem.device) - start, "sample_gradients": runtime.sample_gradients}
        arrays = {}
    return pack_arrays(facts, arrays)


def _clock(device: torch.device) -> float:
    """Processor time on a CPU, where other work does not count."""
    return time.process_time() if device.type == "cpu" else time.perf_counter()


def _created(given: Mapping[str, Any], problem: Problem, runtime: Runtime, folder: JobFolder) -> Classifier:
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.training.fit import TrainingRows, fit
    from grmu_audit.unlearning.apply import apply_method
    from grmu_audit.unlearning.methods import methods

    model = fresh_network(given, problem, runtime.seed, folder)
    if given["training"] is not None:
        rows = TrainingRows(problem.dataset.rows("train"), problem.dataset.rows("val"))
        return fit(model, problem.source, rows, typed_config(TrainConfig, given["training"]), runtime).eval()
    if given["before"] is not None:
        _load_state(model, job_of(given["before"]), folder)
    if given["method"] is None:
        return model.eval()
    method = methods.get(given["method"])
    data = problem.unlearning_data(given["request"], given["reweight"])
    return apply_method(method, model, data, typed_config(method.config, given["settings"]), runtime).eval()


def fresh_network(given: Mapping[str, Any], problem: Problem, seed: int, folder: JobFolder) -> Classifier:
    """The network of a job before any training, on the device.

    Args:
        given: arguments of the job.
        problem: the data.
        seed: of what start weights do not hold.
        folder: holds a file of start weights.
    """
    from grmu_audit.models.catalog import build
    from grmu_audit.training.runtime import derive_seed, move_to

    network = given["network"]
    with tempfile.TemporaryDirectory(prefix="grmu-audit-") as place:
        file = None
        if given["weights"] is not None:
            digest, ending = given["weights"]
            file = Path(place) / f"{digest[:12]}{ending}"
            file.write_bytes(folder.input(digest))
        imagenet = "imagenet" if network["start"] == "imagenet" and file is None else None
        choice = NetworkChoice(network["architecture"], network["options"], file, imagenet)
        spec, start = with_start_weights(Session(device=given["device"]), model_spec(problem.dataset, choice), choice)
    model = build(spec, derive_seed(seed, "init"), start)
    move_to(model, problem.device)
    return model


def _load_state(model: Classifier, job: Job, folder: JobFolder) -> None:
    from grmu_audit.models.weights import unpacked_tensors

    model.load_state_dict(unpacked_tensors(read_model(job, folder)[1]["state"]))


def read_model(job: Job, folder: JobFolder) -> tuple[Facts, dict[str, Array]]:
    """Facts and arrays of a model's job, which must have given one.

    Raises:
        IntegrityError: there is no result of it, or a damaged one.
        DivergedError: its training diverged.
    """
    content = folder.result(job)
    if content is None:
        raise IntegrityError(f"the result of job {job.id[:12]} is missing from {folder.url}: start the benchmark again")
    try:
        facts, arrays = unpack_arrays(content)
    except DamagedFileError as error:
        raise IntegrityError(f"the result of job {job.id[:12]} in {folder.url} is damaged ({error}): remove it") from None
    if "logits" not in arrays:
        raise DivergedError(
            f"a model that others are compared with diverged: {facts['diverged']}. Lower the suite's learning rate"
        )
    return facts, arrays
