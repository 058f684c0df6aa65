"""Where jobs run: in this process, in local processes, as Slurm jobs, or as Ray tasks, behind one interface."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from grmu_audit.errors import EnvironmentFailure, InputError

Perform = Callable[[str], None]
"""Does the work of one task, a text; a function of a module, so that a worker finds it by its name."""
EXECUTORS = ("local", "process", "slurm", "ray")
"""Names of the executors."""


class Executor(Protocol):
    """Runs tasks; the files that a task writes show whether it succeeded."""

    def run(self, perform: Perform, tasks: Iterator[str]) -> Iterator[str]:
        """Perform tasks; closing the iterator stops those that run.

        Args:
            perform: called with each task, in any order and process.
            tasks: drawn one by one when a worker is free, so that the caller can stop.

        Yields:
            Each task when its worker has ended, however it ended.
        """
        ...


@dataclass(frozen=True)
class JobOptions:
    """Where jobs run."""

    executor: str = "local"
    """``local`` (one after the other in this process), ``process``, ``slurm`` or ``ray``."""
    workers: int = 1
    """Jobs that run at the same time."""
    folder: str | None = None
    """URL of the shared folder; None: ``jobs`` in the folder of the store."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """For ``slurm``: submitit's parameters and ``cluster``; for ``ray``: ``address``, and resources of a task."""


IN_THIS_PROCESS = JobOptions()
"""Without workers."""


def make_executor(options: JobOptions) -> Executor:
    """The executor that the options name.

    Raises:
        InputError: no such executor, no workers, settings for one that has none, or its package is not installed.
    """
    if options.executor not in EXECUTORS:
        raise InputError(f"--executor {options.executor!r} is not known: use {', '.join(EXECUTORS)}")
    if options.workers < 1:
        raise InputError(f"{options.workers} workers run no job: give at least 1")
    if options.settings and options.executor in ("local", "process"):
        raise InputError(f"--executor-option: executor {options.executor!r} has none")
    made: dict[str, Callable[[], Executor]] = {
        "local": InProcess,
        "process": lambda: LocalProcesses(options.workers),
        "slurm": lambda: Slurm(options.workers, options.settings),
        "ray": lambda: Ray(options.workers, options.settings),
    }
    return made[options.executor]()


class InProcess:
    """One task after the other, here."""

    def run(self, perform: Perform, tasks: Iterator[str]) -> Iterator[str]:
        """See ``Executor``."""
        for task in tasks:
            perform(task)
            yield task


class _Window(ABC):
    """As many tasks at the same time as there are workers."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, perform: Perform, tasks: Iterator[str]) -> Iterator[str]:
        """See ``Executor``."""
        running: dict[Any, str] = {}
        try:
            while True:
                while len(running) < self.workers and (task := next(tasks, None)) is not None:
                    running[self.begin(perform, task)] = task
                if not running:
                    return
                for handle in self.ended(list(running)):
                    yield running.pop(handle)
        finally:
            self.close(list(running))

    @abstractmethod
    def begin(self, perform: Perform, task: str) -> Any:
        """Start a task; returns its handle."""

    @abstractmethod
    def ended(self, handles: Sequence[Any]) -> list[Any]:
        """Wait until at least one task has ended; returns the handles of all that have."""

    @abstractmethod
    def close(self, handles: Sequence[Any]) -> None:
        """Stop the tasks that still run, and release what was opened."""


def _share_threads(threads: int) -> None:
    """Limit a new worker to its share of the cores before numerical libraries are loaded, unless the caller set a limit."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


class LocalProcesses(_Window):
    """Processes of this machine, each kept for many tasks; one that dies is replaced, and only its task is lost."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._idle: list[Any] = []
        self._busy: dict[Any, Any] = {}

    def begin(self, perform: Perform, task: str) -> Any:
        """See ``_Window``."""
        from concurrent.futures.process import BrokenProcessPool

        while self._idle:
            pool = self._idle.pop()
            with suppress(BrokenProcessPool):  # its process was killed while it was idle
                return self._submit(pool, perform, task)
            pool.shutdown(wait=False)
        return self._submit(self._new_pool(), perform, task)

    def _submit(self, pool: Any, perform: Perform, task: str) -> Any:
        future = pool.submit(perform, task)
        self._busy[future] = pool
        return future

    def _new_pool(self) -> Any:
        """A pool of one process: when it dies, no other task is lost."""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        threads = max(1, (os.cpu_count() or 1) // self.workers)
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _share_threads, (threads,))

    def ended(self, handles: Sequence[Any]) -> list[Any]:
        """See ``_Window``."""
        from concurrent.futures import FIRST_COMPLETED, wait

        done = list(wait(handles, return_when=FIRST_COMPLETED).done)
        for future in done:
            pool = self._busy.pop(future)
            if future.exception() is None:
                self._idle.append(pool)
            else:
                pool.shutdown(wait=False, cancel_futures=True)
        return done

    def close(self, handles: Sequence[Any]) -> None:
        """See ``_Window``."""
        for pool in self._busy.values():
            for process in list((pool._processes or {}).values()):
                process.terminate()
        for pool in (*self._busy.values(), *self._idle):
            pool.shutdown(wait=True, cancel_futures=True)
        self._idle, self._busy = [], {}


class Slurm(_Window):
    """Jobs of a Slurm cluster through submitit; ``cluster=local`` runs them as processes here.

    Args:
        workers: jobs in the queue at the same time.
        settings: ``cluster`` and ``log_folder`` for submitit's executor; all others for its ``update_parameters``.
    """

    def __init__(self, workers: int, settings: Mapping[str, object]) -> None:
        super().__init__(workers)
        submitit = _installed("submitit", "slurm")
        given = dict(settings)
        cluster, logs = given.pop("cluster", None), given.pop("log_folder", "slurm-jobs")
        try:
            self._executor = submitit.AutoExecutor(folder=str(logs), cluster=cluster)
            self._executor.update_parameters(**{"name": "grmu-audit", **given})
        except (NameError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"--executor-option: submitit does not take these settings: {error}") from None

    def begin(self, perform: Perform, task: str) -> Any:
        """See ``_Window``."""
        return self._executor.submit(perform, task)

    def ended(self, handles: Sequence[Any]) -> list[Any]:
        """See ``_Window``."""
        import time

        while not (done := [job for job in handles if job.done()]):
            time.sleep(0.2 if self._executor.cluster == "local" else 5.0)
        return done

    def close(self, handles: Sequence[Any]) -> None:
        """See ``_Window``."""
        for job in handles:
            job.cancel()


class Ray(_Window):
    """Tasks (not actors) of a Ray cluster, without Ray's own retries.

    Args:
        workers: tasks at the same time.
        settings: ``address`` of the cluster (default: ``RAY_ADDRESS``, else one on this machine); all others are a task's
            resources, such as ``num_cpus`` and ``num_gpus``.
    """

    def __init__(self, workers: int, settings: Mapping[str, object]) -> None:
        super().__init__(workers)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ray = _installed("ray", "ray")
        self._options = {"max_retries": 0, "num_cpus": 1, "scheduling_strategy": "SPREAD", **settings}
        self._address = self._options.pop("address", None)

    def begin(self, perform: Perform, task: str) -> Any:
        """See ``_Window``."""
        if not self._ray.is_initialized():
            try:
                self._ray.init(address=self._address, log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise EnvironmentFailure(f"no Ray cluster could be used: {error}") from error
        return self._ray.remote(perform).options(**self._options).remote(task)

    def ended(self, handles: Sequence[Any]) -> list[Any]:
        """See ``_Window``."""
        return list(self._ray.wait(list(handles), num_returns=1)[0])

    def close(self, handles: Sequence[Any]) -> None:
        """See ``_Window``."""
        for handle in handles:
            with suppress(Exception):
                self._ray.cancel(handle, force=True)


def _installed(name: str, extra: str) -> Any:
    """A package of an extra.

    Raises:
        InputError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"--executor {extra} needs the package {name} ({error}): pip install 'grmu-audit[{extra}]'") from None
