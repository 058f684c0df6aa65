"""Which requests, and where jobs run: options that are put together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from grmu_audit.cli.app import execute
from grmu_audit.cli.commands.versions import unlearn_command
from grmu_audit.cli.training_options import forget_or_requests, job_options
from grmu_audit.jobs import JobOptions
from grmu_audit.workflows.versions.method_choice import UnlearnOptions


def given(decorator: Any, *arguments: str) -> dict[str, Any]:
    """What a command with the options gets."""
    found: dict[str, Any] = {}

    @click.command()
    @decorator
    def command(**values: Any) -> None:
        found.update(values)

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return found


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ((), JobOptions()),
        (("--jobs", "3"), JobOptions("process", 3)),
        (
            ("--jobs", "3", "--executor", "ray", "--executor-option", "num_gpus=1", "--job-folder", "s3://b/jobs"),
            JobOptions("ray", 3, "s3://b/jobs", {"num_gpus": 1}),
        ),
        (("--executor", "slurm"), JobOptions("slurm", 1)),
    ],
)
def test_workers_mean_processes_unless_another_executor_is_named(arguments: tuple[str, ...], wanted: JobOptions) -> None:
    assert given(job_options, *arguments) == {"jobs": wanted}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [(("--forget", "ids.csv"), Path("ids.csv")), (("--requests", "pending"), ("pending",)), (("--requests", "A,B"), ("A", "B"))],
)
def test_a_list_or_recorded_requests(arguments: tuple[str, ...], wanted: object) -> None:
    assert given(forget_or_requests, *arguments) == {"forget": wanted}


@pytest.mark.parametrize("arguments", [(), ("--forget", "ids.csv", "--requests", "pending")])
def test_one_of_the_two_is_needed(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["unlearn", "--model", "m", *arguments]) == 2
    assert "give --forget FILE for a list, or --requests" in capsys.readouterr().err


def test_commands_that_several_processes_cannot_share_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert execute(["verify", "--model", "m"]) == 2
    assert "torchrun is for pretrain, retrain, unlearn: run verify in one process" in capsys.readouterr().err


def test_command_line_and_library_have_the_same_default_method() -> None:
    (method,) = (option for option in unlearn_command.params if option.name == "method")
    assert method.default == UnlearnOptions().method
