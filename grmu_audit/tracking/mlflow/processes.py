"""Which process opened a run, and whether it has ended: the run of a process that was killed would stay RUNNING."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.tracking.names import TAG_PROCESS

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PROC = Path("/proc")
_START = 19
_MOST = 100


def this_process() -> str:
    """Machine (hashed), boot, number and start of this process."""
    return _described(os.getpid()) or ":::"


def has_ended(process: str) -> bool:
    """Whether a process of this machine is gone; False for one of another machine, of which nothing is known."""
    machine, boot, number, _ = [*process.split(":"), "", "", ""][:4]
    if machine != _machine() or not boot or not number.isdecimal():
        return False
    return _described(int(number)) != process


def close_abandoned(client: MlflowClient, experiment: str) -> Iterator[str]:
    """Close the running runs of an experiment whose process has ended; gives their ids."""
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=_MOST):
        if has_ended(run.data.tags.get(TAG_PROCESS, "")):
            client.set_terminated(run.info.run_id, "KILLED")
            yield run.info.run_id


def _described(number: int) -> str:
    try:
        start = (_PROC / str(number) / "stat").read_text().rpartition(")")[2].split()[_START]
        return f"{_machine()}:{_boot()}:{number}:{start}"
    except (OSError, IndexError):
        return ""


def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]
