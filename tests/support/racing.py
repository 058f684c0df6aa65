"""Many processes that promote at once: each imports MLflow once (through a fork server) and then plays every round."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

PRELOAD = ["mlflow", "mlflow.store.tracking.sqlalchemy_store", "grmu_audit.workflows.release", "grmu_audit.tracking.mlflow.store"]
PATIENCE = 120.0


@dataclass(frozen=True)
class Outcome:
    """How one process left one round."""

    version: str
    code: int
    said: str


def play(pipe: Any, barrier: Any, policies: str) -> None:
    """One process: promote the versions that it is sent, as the command line would, until it is stopped."""
    from grmu_audit.cli.app import execute
    from grmu_audit.tracking import promotion

    os.environ["GRMU_AUDIT_POLICIES"] = policies
    append = promotion.append_entry

    def together(store: Any, entry: Any, subject: Any) -> Any:
        if entry.kind == "promote":
            barrier.wait(PATIENCE)
        return append(store, entry, subject)

    while (task := pipe.recv()) is not None:
        uri, label, forced = task
        promotion.append_entry = together if forced else append
        if not forced:
            barrier.wait(PATIENCE)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = execute(["--tracking-uri", uri, "--quiet", "--actor", label, "promote", "--model", label])
        pipe.send(Outcome(label.rpartition("/")[2], code, said.getvalue()))


class Racers:
    """A pool of processes that all start each round at the same moment.

    Args:
        count: how many.
        policies: the policies that count, as ``GRMU_AUDIT_POLICIES`` lists them.
    """

    def __init__(self, count: int, policies: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        self._barrier = context.Barrier(count)
        self._pipes, self._processes = [], []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=play, args=(theirs, self._barrier, policies), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def race(self, uri: str, labels: Sequence[str], *, forced: bool) -> list[Outcome]:
        """One round; ``forced``: every process has read the ledger before any of them begins a promotion."""
        for pipe, label in zip(self._pipes, labels, strict=True):
            pipe.send((uri, label, forced))
        outcomes = []
        for pipe in self._pipes:
            assert pipe.poll(PATIENCE), "a process of the race does not answer"
            outcomes.append(pipe.recv())
        return outcomes

    def __enter__(self) -> Racers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
