"""Small jobs for tests: each writes down that it was begun, in which process, and squares a number."""

from __future__ import annotations

import os
import time
from pathlib import Path

from grmu_audit.errors import DivergedError, EnvironmentFailure
from grmu_audit.jobs import Job, JobFolder, job_functions
from grmu_audit.jobs import perform as perform_task


def perform(task: str) -> None:
    """As workers of the package do; importing this module registers the functions below there."""
    perform_task(task)


def square(job: Job, folder: JobFolder) -> bytes:
    """The square of ``number``, and a line in ``log``."""
    arguments = job.arguments
    with (Path(arguments["log"])).open("a") as log:
        log.write(f"{arguments['number']} {os.getpid()}\n")
    if arguments.get("dies_once") and not Path(arguments["dies_once"]).exists():
        Path(arguments["dies_once"]).touch()
        os._exit(9)
    if arguments.get("fails"):
        raise {"diverged": DivergedError, "environment": EnvironmentFailure}.get(arguments["fails"], ZeroDivisionError)("as told")
    time.sleep(float(arguments.get("seconds", 0)))
    return str(arguments["number"] ** 2).encode()


if "square" not in job_functions.names():
    job_functions.add("square", square)


def jobs(count: int, log: Path, **more: object) -> list[Job]:
    return [Job("square", {"number": number, "log": str(log), **more}) for number in range(count)]


def begun(log: Path) -> list[tuple[int, int]]:
    """Number and process of each line."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(number), int(process)) for number, process in map(str.split, lines)]
