"""The study of a job: data, rows and a network as files of a job folder, which a worker opens without a tracking server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from grmu_audit.data.catalog import DataSpec
from grmu_audit.errors import DivergedError, EnvironmentFailure, InputError, IntegrityError
from grmu_audit.evidence import key_check, load_key
from grmu_audit.jobs import Job, JobFolder
from grmu_audit.utils import canonical_json
from grmu_audit.utils.array_files import pack_arrays, unpack_arrays
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.rows_read import places_of_rows
from grmu_audit.workflows.session import Session, dataset_spec_of

if TYPE_CHECKING:
    from grmu_audit.data.batches import BatchSource
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.records import ModelRef
    from grmu_audit.training.runtime import Runtime
    from grmu_audit.unlearning.data import UnlearningData

T = TypeVar("T")
Rows = npt.NDArray[np.int64]
FORGET, WITHHELD, SERVED = "forget", "withheld", "served"
"""Names of the sets of rows that every study may have."""
_SHARD = "shard/"
PATIENCE = 300.0
"""Seconds for which a writer waits for a tracking server that does not answer, while workers go on."""


@dataclass(frozen=True)
class Study:
    """Data, rows and network of a job, as a worker has them."""

    session: Session
    """Key, device and precision; it has no store."""
    dataset: Dataset
    """The data, the same as where the job was made."""
    network: Classifier
    """On the device; not to be changed."""
    sets: Mapping[str, frozenset[str]]
    """Pseudonyms by the name of the set."""

    @cached_property
    def source(self) -> BatchSource:
        """The data on the device."""
        from grmu_audit.data.batches import BatchSource
        from grmu_audit.training.runtime import choose_device

        return BatchSource(self.dataset, choose_device(self.session.device))

    @cached_property
    def names(self) -> npt.NDArray[np.str_]:
        """[n] pseudonyms of all rows."""
        return np.asarray(self.session.pseudonyms_of(self.dataset), dtype=np.str_)

    def rows(self, name: str) -> Rows:
        """Row numbers of a set, in the order of the data."""
        return np.flatnonzero(np.isin(self.names, sorted(self.sets.get(name, ())))).astype(np.int64)

    def unlearning_data(self, reweight: bool) -> UnlearningData:
        """Retain, forget and validation rows of the study's request."""
        from grmu_audit.unlearning.data import UnlearningData

        train, val, forget = self.dataset.rows("train"), self.dataset.rows("val"), self.rows(FORGET)
        retain, val = np.setdiff1d(train, forget), np.setdiff1d(val, self.rows(WITHHELD))
        data = UnlearningData(self.source, retain, np.intersect1d(forget, train), val, served=self.rows(SERVED))
        return data.reweighted() if reweight else data


def put_study(
    session: Session,
    folder: JobFolder,
    where: ModelRef | DataSpec,
    network: Classifier,
    dataset: Dataset,
    sets: Mapping[str, Iterable[str]],
) -> str:
    """Store what jobs on a version need; returns its digest, which their arguments name.

    Args:
        session: key, store, device.
        folder: of the jobs.
        where: the version whose data it is, or where the data is found.
        network: with its start weights.
        dataset: the data.
        sets: pseudonyms of rows by the name of the set.
    """
    deleted: dict[str, object] | None = None
    if dataset.counts_as and not isinstance(where, DataSpec):
        recorded = session.recorded_rows(where)
        assert recorded is not None, "data that counts as other data has a record of its rows"
        names = sorted(row.name for row in dataset.deleted)
        deleted = {"rows": folder.put(recorded.to_bytes()), "names": names, "counts_as": dataset.counts_as, "label": where.label}
    from grmu_audit.models.weights import packed_model

    tree = {
        "data": asdict(where if isinstance(where, DataSpec) else dataset_spec_of(where)),
        "digest": dataset.digest,
        "deleted": deleted,
        "key_check": key_check(session.key),
        "network": folder.put(packed_model(network)),
        "sets": {name: sorted(members) for name, members in sets.items()},
        "device": session.device,
        "precision": session.runtime(0).precision,
    }
    return folder.put(canonical_json(tree))


def remove_study(folder: JobFolder, digest: str) -> None:
    """Remove a study's files: all its jobs are recorded."""
    folder.remove_inputs(*study_files(folder, digest))


def study_files(folder: JobFolder, digest: str) -> dict[str, bytes]:
    """A study's files by their digests, to be given to another folder."""
    tree = json.loads(folder.input(digest))
    named = [digest, tree["network"], *([tree["deleted"]["rows"]] if tree["deleted"] else [])]
    return {name: folder.input(name) for name in named}


def open_study(folder: JobFolder, digest: str, device: str | None = None) -> Study:
    """The study of a job; the newest two are kept in memory.

    Args:
        folder: where its files are.
        digest: of its description.
        device: of this process; None: as named where the jobs were made.

    Raises:
        InputError: this machine's key is another one.
        IntegrityError: the data here is not that of the machine where the jobs were made, or a file was changed.
    """
    return _opened(folder.url, digest, device)


@lru_cache(maxsize=2)
def _opened(url: str, digest: str, device: str | None) -> Study:
    from grmu_audit.models.weights import unpacked_model
    from grmu_audit.training.runtime import choose_device, move_to

    folder = JobFolder(url, load_key())
    tree = json.loads(folder.input(digest))
    session = Session(device=device or tree["device"], precision=tree["precision"])
    if key_check(session.key) != tree["key_check"]:
        raise InputError("this worker's key is not the one that the jobs were made with: give every worker the operator's key")
    dataset = session.dataset(DataSpec(**tree["data"]))
    if tree["deleted"] is not None:
        dataset = _without_deleted(dataset, folder, session.key, tree["deleted"])
    if dataset.digest != tree["digest"]:
        raise IntegrityError(
            f"{dataset.header.name!r} has digest {dataset.digest} on this worker, and {tree['digest']} where the jobs were made: "
            "give every worker the same data at the same path"
        )
    network = unpacked_model(folder.input(tree["network"]))
    move_to(network, choose_device(session.device))
    return Study(session, dataset, network, {name: frozenset(members) for name, members in tree["sets"].items()})


def _without_deleted(dataset: Dataset, folder: JobFolder, key: bytes, deleted: Mapping[str, Any]) -> Dataset:
    """The data as ``Session.dataset_of`` gave it where the jobs were made."""
    from grmu_audit.data.rows import RowTable, without_deleted

    recorded = RowTable.from_bytes(folder.input(deleted["rows"]))
    found = without_deleted(dataset, recorded, key, frozenset(deleted["names"]), deleted["label"])
    return replace(found, counts_as=deleted["counts_as"])


def run_method_job(job: Job, folder: JobFolder) -> bytes:
    """Run a method on the study's network: the weights, and everything that the run records.

    Epochs are stored beside the results where the folder is local, so that a job whose worker died goes on after its last one.
    """
    from grmu_audit.models.weights import packed_tensors
    from grmu_audit.training.checkpoint import Checkpoints
    from grmu_audit.training.runtime import hardware
    from grmu_audit.unlearning.apply import apply_method
    from grmu_audit.unlearning.methods import methods

    given, study, start = job.arguments, open_study(folder, job.arguments["study"]), time.perf_counter()
    method, epochs = methods.get(given["method"]), list[dict[str, float]]()
    runtime = study.session.runtime(given["seed"], log=lambda epoch, metrics: epochs.append({"epoch": epoch, **metrics}))
    runtime.rows_read = study.source.record_rows(places_of_rows(study.session, study.dataset))
    place = folder.local(f"checkpoints/{job.id}")
    runtime.checkpoints = Checkpoints(place, job.id, resume=True) if place is not None else None
    data = study.unlearning_data(given["reweight"])
    model = apply_method(method, study.network, data, typed_config(method.config, given["settings"]), runtime)
    facts = {
        "epochs": epochs,
        "notes": {**runtime.notes, "hardware": hardware(runtime.device)},
        "precision": runtime.precision,
        "sample_gradients": runtime.sample_gradients,
        "seconds": time.perf_counter() - start,
    }
    if runtime.checkpoints is not None:
        runtime.checkpoints.clear()
    shards = {f"{_SHARD}{number}": read.numpy() for number, read in runtime.shard_rows.items()}
    return pack_arrays(facts, {"state": packed_tensors(model.state_dict()), "read": runtime.rows_read.numpy(), **shards})


def take_method_result(network: Classifier, content: bytes, runtime: Runtime) -> Classifier:
    """The network of a method job; what its run recorded is put into the runtime as if it had run there.

    Args:
        network: the one that the method was given.
        content: what ``run_method_job`` returned.
        runtime: of the run that registers it.

    Raises:
        IntegrityError: it is no such result.
    """
    import torch

    from grmu_audit.models.classifier import copy_model
    from grmu_audit.models.weights import unpacked_tensors

    try:
        facts, arrays = unpack_arrays(content)
        model = copy_model(network)
        model.load_state_dict(unpacked_tensors(arrays["state"]))
        read = torch.from_numpy(arrays["read"])
        shards = {
            int(name.removeprefix(_SHARD)): torch.from_numpy(marks) for name, marks in arrays.items() if name.startswith(_SHARD)
        }
    except (ValueError, KeyError, RuntimeError) as error:
        raise IntegrityError(f"this is not the result of a method job: {type(error).__name__}: {error}") from None
    runtime.sample_gradients, runtime.seconds_elsewhere = int(facts["sample_gradients"]), float(facts["seconds"])
    runtime.precision = str(facts["precision"])
    runtime.notes |= facts["notes"]
    if runtime.rows_read is not None:
        runtime.rows_read |= read
        runtime.shard_rows |= shards
    for metrics in facts["epochs"]:
        runtime.log(int(metrics["epoch"]), {name: value for name, value in metrics.items() if name != "epoch"})
    return model.eval()


def patiently(session: Session, record: Callable[[], T], patience: float = PATIENCE) -> T:
    """Record something, and wait for a tracking server that does not answer: results of workers lie in the job folder meanwhile.

    Raises:
        EnvironmentFailure: it did not answer for that long.
    """
    end, pause = time.monotonic() + patience, 1.0
    while True:
        try:
            return record()
        except DivergedError:
            raise
        except EnvironmentFailure as error:
            if not time.monotonic() + pause < end:
                raise
            session.observer.note(f"{str(error)[:200]}; next attempt in {pause:.0f} s, results of jobs wait in the job folder")
        time.sleep(pause)
        pause = min(2 * pause, 15.0)
