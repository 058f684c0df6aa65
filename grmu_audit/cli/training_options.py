"""Options of the commands that train: which requests, and where independent trainings run."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from grmu_audit.cli.options import FILE, FORGET_LIST, F, parse_settings


def forget_or_requests(function: F) -> F:
    """``--forget`` or ``--requests``, put together as ``forget``: a path, or ids of recorded requests."""

    @functools.wraps(function)
    def command(*args: Any, forget: Path | None, requests: str | None, **kwargs: Any) -> Any:
        if (forget is None) == (requests is None):
            raise click.UsageError("give --forget FILE for a list, or --requests pending|ID,ID for requests that were recorded")
        return function(*args, forget=forget or tuple((requests or "").split(",")), **kwargs)

    known = "Instead of a list: recorded requests that one version serves: all that wait, or by their ids."
    for option in (
        click.option("--requests", metavar="pending|ID,ID", help=known),
        click.option("--forget", type=FILE, help=FORGET_LIST),
    ):
        command = option(command)
    return command  # type: ignore[return-value]


def job_options(function: F) -> F:
    """``--jobs``, ``--executor``, ``--executor-option`` and ``--job-folder``, put together as ``jobs``, a ``JobOptions``."""

    @functools.wraps(function)
    def command(
        *args: Any,
        workers: int,
        executor: str | None,
        executor_option: tuple[str, ...],
        job_folder: str | None,
        **kwargs: Any,
    ) -> Any:
        from grmu_audit.jobs import JobOptions

        chosen = executor or ("process" if workers > 1 else "local")
        return function(*args, jobs=JobOptions(chosen, workers, job_folder, parse_settings(executor_option)), **kwargs)

    for option in (
        click.option("--job-folder", metavar="URL", help="Folder that all workers share, or s3://... [default: mlruns/jobs]."),
        click.option(
            "--executor-option", multiple=True, metavar="KEY=VALUE", help="Setting of Slurm (submitit) or Ray; repeatable."
        ),
        click.option(
            "--executor",
            type=click.Choice(["local", "process", "slurm", "ray"]),
            help="Where independent trainings run [default: process with --jobs, else here].",
        ),
        click.option(
            "--jobs",
            "workers",
            type=click.IntRange(min=1),
            default=1,
            metavar="N",
            help="Independent trainings at the same time.",
        ),
    ):
        command = option(command)
    return command  # type: ignore[return-value]
