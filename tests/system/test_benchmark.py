"""A benchmark that is killed, by the operating system, while it trains and while it measures: the next call completes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.benchmarks import tiny_suite

from grmu_audit.workflows.benchmarks import read_rows

pytestmark = pytest.mark.slow
PATIENCE = 240.0


def started(root: Path, name: str) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "grmu_audit", "benchmark", "run", str(root / "tiny.yaml"), "--out", str(root / name)]
    with (root / f"{name}.log").open("ab") as log:
        return subprocess.Popen(line, cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log)


def finish(root: Path, name: str) -> None:
    assert started(root, name).wait(PATIENCE) == 0, (root / f"{name}.log").read_text()


def files(root: Path, name: str, part: str) -> int:
    return sum(path.is_file() for path in (root / name / part).rglob("*"))


def kill_when(root: Path, name: str, reached: Callable[[], bool]) -> None:
    """Run until something is there, then SIGKILL."""
    process, end = started(root, name), time.monotonic() + PATIENCE
    while not reached():
        assert process.poll() is None, "the run ended before it was killed"
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL


def rows(root: Path, name: str) -> dict[str, Any]:
    return {row.id: (row.title, row.values, row.deltas, row.sample_gradients) for row in read_rows(root / name)}


def test_a_killed_benchmark_is_completed_by_the_next_call_with_the_same_numbers(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        yaml.safe_dump(tiny_suite().model_dump(mode="json", by_alias=True, exclude_defaults=True))
    )
    finish(tmp_path, "whole")
    kill_when(tmp_path, "killed", lambda: files(tmp_path, "killed", "jobs") >= 2)
    assert files(tmp_path, "killed", "rows") == 0
    kill_when(tmp_path, "killed", lambda: files(tmp_path, "killed", "rows") >= 2)
    assert files(tmp_path, "killed", "rows") < 6
    assert not (tmp_path / "killed" / "report.md").exists()
    finish(tmp_path, "killed")
    assert rows(tmp_path, "killed") == rows(tmp_path, "whole")
    assert len(rows(tmp_path, "whole")) == 7  # with the reference, which is no model of its own
    for page in ("report.md", "results.csv"):
        assert (tmp_path / "killed" / page).is_file()
    assert sorted(path.name for path in (tmp_path / "killed" / "tables").iterdir()) == sorted(
        path.name for path in (tmp_path / "whole" / "tables").iterdir()
    )
