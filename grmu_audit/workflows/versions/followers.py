"""The processes beside the first of a training that ``torchrun`` started: they train too, and use no tracking server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from grmu_audit.errors import InputError
from grmu_audit.jobs import Job, JobFolder
from grmu_audit.utils.array_files import pack_arrays, unpack_arrays
from grmu_audit.utils.progress import SILENT
from grmu_audit.utils.yaml_files import typed_config
from grmu_audit.workflows.session import Session
from grmu_audit.workflows.versions.studies import Study, open_study, put_study, study_files

if TYPE_CHECKING:
    from grmu_audit.data.catalog import DataSpec
    from grmu_audit.data.dataset import Dataset
    from grmu_audit.models.classifier import Classifier
    from grmu_audit.records import ModelRef
    from grmu_audit.training.runtime import Runtime

MEMORY = "memory://grmu-audit-training"
"""Folder of the job that the processes of a training have in common."""


def followed(session: Session) -> bool:
    """Join the processes that ``torchrun`` started, if it did; returns whether this one followed the first and is done.

    Args:
        session: gets the device of this process.

    Raises:
        EnvironmentFailure: the processes lost each other.
        InputError: this machine lacks the operator's key.
        IntegrityError: its data is not that of the first process.
    """
    if "RANK" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        return False
    from grmu_audit.training.distributed import current_world, join
    from grmu_audit.training.runtime import choose_device

    session.device = str(join(choose_device(session.device)))
    if current_world().rank == 0:
        return False
    session.observer = SILENT
    _follow(session)
    return True


def require_one_process(what: str) -> None:
    """Return where ``torchrun`` did not start several processes.

    Raises:
        InputError: it did, and ``what`` does not work on them.
    """
    from grmu_audit.training.distributed import current_world

    if current_world().size > 1:
        raise InputError(f"{what} does not work with torchrun: use one process, with --jobs for several trainings")


def lead(
    session: Session,
    where: ModelRef | DataSpec,
    network: Classifier,
    dataset: Dataset,
    sets: Mapping[str, Iterable[str]],
    job: Callable[[str], Job],
) -> None:
    """Give the other processes of this training what they need, and wait until they have it; nothing where there are none.

    Args:
        session: of the first process.
        where: as for ``put_study``.
        network: that the training starts from.
        dataset: the data.
        sets: pseudonyms of rows by the name of the set.
        job: of the digest of the study.
    """
    from grmu_audit.training.distributed import current_world

    world = current_world()
    if world.size == 1:
        return
    folder = JobFolder(MEMORY, session.key)
    study = put_study(session, folder, where, network, dataset, sets)
    files = {name: np.frombuffer(content, dtype=np.uint8) for name, content in study_files(folder, study).items()}
    world.share(pack_arrays({"job": job(study).to_text()}, files))
    world.wait_for_all()


def _follow(session: Session) -> None:
    """Do what the first process does, up to the forward pass over all samples."""
    from grmu_audit.training.distributed import current_world
    from grmu_audit.training.inference import infer

    world, folder = current_world(), JobFolder(MEMORY, session.key)
    facts, files = unpack_arrays(world.share(None) or b"")
    for content in files.values():
        folder.put(content.tobytes())
    job = Job.from_text(facts["job"])
    study = open_study(folder, job.arguments["study"], session.device)
    runtime, everything = study.session.runtime(job.arguments["seed"]), np.arange(len(study.dataset), dtype=np.int64)
    world.wait_for_all()
    infer(_trained(study, job, runtime), study.source, everything, runtime)


def _trained(study: Study, job: Job, runtime: Runtime) -> Classifier:
    """The network of the job, trained with the other processes."""
    from grmu_audit.training.config import TrainConfig
    from grmu_audit.training.fit import TrainingRows, fit
    from grmu_audit.unlearning.apply import apply_method
    from grmu_audit.unlearning.methods import methods

    given = job.arguments
    if job.function == "train":
        rows = TrainingRows(study.dataset.rows("train"), study.dataset.rows("val"))
        return fit(study.network, study.source, rows, TrainConfig(**given["settings"]), runtime)
    method = methods.get(given["method"])
    data = study.unlearning_data(given["reweight"])
    return apply_method(method, study.network, data, typed_config(method.config, given["settings"]), runtime)
