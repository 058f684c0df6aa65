"""Runs jobs through an executor and hands their results to the one writer, each once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from grmu_audit.errors import DivergedError, EnvironmentFailure, GrmuAuditError, InputError
from grmu_audit.evidence import KEY_FILE_VARIABLE, key_exists, key_path, load_key
from grmu_audit.jobs.executors import Executor, Perform
from grmu_audit.jobs.folder import JobFolder
from grmu_audit.jobs.functions import job_functions
from grmu_audit.jobs.job import Job

ATTEMPTS = 3
"""How often a job is started at most, where its worker dies or its environment fails."""


def perform(task: str) -> None:
    """What a worker does: run the job's function and store its result, unless the result is there already.

    An error is stored as the job's failure. A worker uses no tracking server: it reads the folder, the data and the key, and
    stores results in the folder alone.

    Args:
        task: as ``JobRunner`` gives it.

    Raises:
        InputError: there is no key here to sign the result with, or the task is not a job.
    """
    tree = json.loads(task)
    if not key_exists():
        raise InputError(f"a worker needs the operator's key in {key_path()}, or {KEY_FILE_VARIABLE} that points at it")
    folder, job = JobFolder(str(tree["folder"]), load_key()), Job.from_text(str(tree["job"]))
    if folder.result(job) is not None:
        return
    try:
        content = job_functions.get(job.function)(job, folder)
    except GrmuAuditError as error:
        folder.fail(job, error)
    except Exception as error:  # noqa: BLE001  (the writer says what happened)
        folder.fail(job, EnvironmentFailure(f"internal failure: {type(error).__name__}: {error}"))
    else:
        folder.finish(job, content)


@dataclass
class JobRunner:
    """A shared folder and an executor."""

    folder: JobFolder
    """Inputs and results."""
    executor: Executor
    """Where jobs run."""
    perform: Perform = perform
    """What a worker does with a task."""
    _started: Counter[str] = field(default_factory=Counter, repr=False)

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, bytes]]:
        """Results of jobs, in the order in which they arrive; a job that is given twice has one result.

        A job whose result is in the folder already is not run again.  A result stays in the folder until the caller has recorded
        it and calls ``folder.forget``, so that nothing is lost when the writer is killed.

        Args:
            jobs: drawn one by one when a worker is free.

        Raises:
            GrmuAuditError: a job failed, with its own error.
            EnvironmentFailure: a job gave no result in ``ATTEMPTS`` attempts.
        """
        waiting: Iterator[Job] = iter(jobs)
        while True:
            lost: list[Job] = []
            for job in self._round(waiting):
                result = self.folder.result(job)
                if result is not None:
                    yield job, result
                else:
                    self._require_retry(job)
                    lost.append(job)
            if not lost:
                return
            waiting = iter(lost)

    def _round(self, jobs: Iterator[Job]) -> Iterator[Job]:
        """Each job once, as soon as its result is there or its worker has ended."""
        drawn: dict[str, Job] = {}
        ready: list[Job] = []
        seen: set[str] = set()

        def tasks() -> Iterator[str]:
            """Texts of the jobs that have no result yet."""
            for job in jobs:
                if job.id in seen:
                    continue
                seen.add(job.id)
                if self.folder.result(job) is not None:
                    ready.append(job)
                    continue
                self.folder.clear_failure(job)
                self._started[job.id] += 1
                task = json.dumps({"folder": self.folder.url, "job": job.to_text()})
                drawn[task] = job
                yield task

        with closing(self.executor.run(self.perform, tasks())) as ended:  # type: ignore[type-var]
            for task in ended:
                yield drawn.pop(task)
                while ready:
                    yield ready.pop()
        while ready:
            yield ready.pop()

    def _require_retry(self, job: Job) -> None:
        """Return when a job without a result may be started again."""
        error = self.folder.failure(job)
        if error is not None and (not isinstance(error, EnvironmentFailure) or isinstance(error, DivergedError)):
            raise error
        if self._started[job.id] >= ATTEMPTS:
            why = "its worker died" if error is None else str(error)
            raise EnvironmentFailure(f"job {job.function} {job.id[:12]} gave no result in {ATTEMPTS} attempts: {why}")
