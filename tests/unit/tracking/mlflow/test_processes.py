"""Whether the process behind a run has ended, and what becomes of its run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mlflow import MlflowClient

from grmu_audit.tracking import open_store
from grmu_audit.tracking.mlflow.processes import has_ended, this_process
from grmu_audit.tracking.names import EXPERIMENT_PREFIX, PREDICTIONS, TAG_PROCESS
from grmu_audit.tracking.requests import rows_artifact


def _ended_process() -> str:
    """What a process that has ended said of itself."""
    code = "from grmu_audit.tracking.mlflow.processes import this_process; print(this_process())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_only_a_process_of_this_machine_that_is_gone_has_ended() -> None:
    mine, other = this_process(), _ended_process()
    machine, boot, number, start = mine.split(":")
    assert number == str(os.getpid())
    assert not has_ended(mine)
    assert has_ended(other)
    assert has_ended(f"{machine}:{boot}:{number}:{int(start) + 1}")  # the number was given to another process
    assert has_ended(f"{machine}:00000000-another-boot:{number}:{start}")
    for unknown in (
        "",
        ":::",
        "another machine:" + mine.partition(":")[2],
        f"{machine}::{number}:{start}",
        f"{machine}:{boot}:x:{start}",
    ):
        assert not has_ended(unknown)


def test_the_next_command_of_a_model_closes_the_run_of_a_process_that_ended(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store = open_store(uri, root=tmp_path)
    with store.run("digits", "audit") as run:
        run.log_bytes(b"x", PREDICTIONS)
        run.log_bytes(b"x", "predictions/candidate.parquet")
        run.log_bytes(b"x", rows_artifact("00ff"))
        run.log_bytes(b"x", "report.html")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert (modes[PREDICTIONS], modes["candidate.parquet"], modes["00ff.zip"], modes["report.html"]) == (0o600,) * 3 + (0o644,)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT_PREFIX + "digits").experiment_id
    left, mine, old = (
        client.create_run(experiment, tags=tags).info.run_id
        for tags in ({TAG_PROCESS: _ended_process()}, {TAG_PROCESS: this_process()}, {})
    )
    with store.run("digits", "audit"):
        pass
    assert [client.get_run(one).info.status for one in (left, mine, old)] == ["KILLED", "RUNNING", "RUNNING"]
