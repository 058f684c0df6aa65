"""A process that does one thing to the registry and is killed: before its n-th write, or whenever the parent likes."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRELOAD = [
    "torch",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "great_expectations",
    "grmu_audit.workflows.versions.unlearning",
    "grmu_audit.workflows.release",
    "grmu_audit.tracking.mlflow.store",
    "grmu_audit.models.catalog",
    "grmu_audit.unlearning.methods",
    "sklearn.ensemble",
]
WRITES = (
    "create_experiment",
    "create_run",
    "log_batch",
    "log_inputs",
    "log_artifact",
    "log_artifacts",
    "create_registered_model",
    "create_model_version",
    "set_model_version_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "delete_model_version",
    "set_terminated",
)
"""Every call of the MLflow client that writes; the tool writes through nothing else."""

PATIENCE = 120.0


@dataclass(frozen=True)
class Task:
    """What a process shall do."""

    root: Path
    """Folder of the embedded store."""
    deed: str
    """``promote``, ``rollback``, ``unlearn`` or ``pretrain``."""
    model: str
    """MODEL; for ``pretrain`` the name."""
    before_write: int | None = None
    """Kill itself before this write, from 1."""


@dataclass(frozen=True)
class End:
    """How a process ended."""

    killed: bool
    """By signal 9."""
    writes: tuple[str, ...]
    """Writes that it began, in order."""
    seconds: float
    """Time from the start of the deed."""


def perform(task: Task, pipe: Any) -> None:
    """Do it, with a hook on every write."""
    sys.stderr = sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    _hook(task.before_write, pipe)
    pipe.send("ready")
    pipe.recv()
    DEEDS[task.deed](task)
    pipe.send("done")


def _hook(fatal: int | None, pipe: Any) -> None:
    from mlflow import MlflowClient

    count = 0

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            pipe.send(name)
            return real(*args, **kwargs)

        return write

    for name in WRITES:
        setattr(MlflowClient, name, wrapped(name, getattr(MlflowClient, name)))


def session(root: Path) -> Any:
    """A quiet session on the embedded store."""
    from grmu_audit.workflows.session import Session

    return Session(root=root, tracking_uri=f"sqlite:///{root}/mlflow.db", device="cpu", actor="tester")


def _pretrain(task: Task) -> None:
    import torch

    from grmu_audit.data.catalog import DataSpec
    from grmu_audit.workflows.forget_requests import ForgetSampling, sample_forget_list
    from grmu_audit.workflows.versions.network import NetworkChoice
    from grmu_audit.workflows.versions.pretraining import TrainingOptions, pretrain

    torch.set_num_threads(1)
    own = session(task.root)
    spec = DataSpec("photodigits", {"renders": 1})
    pretrain(own, task.model, spec, NetworkChoice("small_resnet", {"widths": [4, 8]}), TrainingOptions({"epochs": 1}))
    sample_forget_list(own.dataset(spec), task.root / "ids.csv", ForgetSampling(("1,0",)))


def _unlearn(task: Task) -> None:
    import torch

    from grmu_audit.workflows.versions.method_choice import UnlearnOptions
    from grmu_audit.workflows.versions.unlearning import unlearn

    torch.set_num_threads(1)
    unlearn(session(task.root), task.model, task.root / "ids.csv", UnlearnOptions("gradient_ascent", {"epochs": 1}))


def _promote(task: Task) -> None:
    from grmu_audit.tracking import Requirements
    from grmu_audit.workflows.release import promote

    promote(session(task.root), task.model, "test", requirements=Requirements())


def _rollback(task: Task) -> None:
    from grmu_audit.tracking import Requirements
    from grmu_audit.workflows.release import rollback

    name, _, to = task.model.partition("/")
    rollback(session(task.root), name, "test", to, Requirements())


DEEDS: dict[str, Callable[[Task], None]] = {
    "pretrain": _pretrain,
    "unlearn": _unlearn,
    "promote": _promote,
    "rollback": _rollback,
}


class Doomed:
    """Starts such processes; heavy libraries are imported once, by a fork server."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)

    def run(self, task: Task, kill_after: float | None = None) -> End:
        """Let a process do it; ``kill_after``: seconds after which it is killed from outside."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=perform, args=(task, theirs), daemon=True)
        process.start()
        theirs.close()
        assert ours.poll(PATIENCE)
        assert ours.recv() == "ready"
        ours.send("go")
        start = time.perf_counter()
        if kill_after is not None:
            time.sleep(kill_after)
            process.kill()
        process.join(PATIENCE)
        seconds = time.perf_counter() - start
        return End(process.exitcode == -signal.SIGKILL, tuple(_heard(ours)), seconds)


def _heard(pipe: Any) -> list[str]:
    """Names of the writes that were begun; a process that failed otherwise than by the signal is an error."""
    heard: list[str] = []
    try:
        while pipe.poll(0):
            heard.append(pipe.recv())
    except (EOFError, OSError):
        pass
    return [name for name in heard if name != "done"]


def moments(seconds: float, count: int, seed: int) -> list[float]:
    """Random moments within a deed of that length."""
    chosen = random.Random(seed)
    return [chosen.uniform(0, seconds) for _ in range(count)]
