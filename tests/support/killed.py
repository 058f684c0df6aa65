"""Runs a method in a process of its own that kills itself at a given step, as a power cut would."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import torch

from grmu_audit.data.batches import Batch, BatchSource
from grmu_audit.models.weights import load_model, save_model
from grmu_audit.training.checkpoint import Checkpoints
from grmu_audit.unlearning.apply import apply_method
from grmu_audit.unlearning.data import UnlearningData

KEY = "battery"


class Counted(BatchSource):
    """Counts batches and calls back at the last one that it may serve."""

    def __init__(self, source: BatchSource, last: int = 1 << 60, at_last: Callable[[], None] = lambda: None) -> None:
        super().__init__(source.dataset, source.device)
        self.count = 0
        self.last, self.at_last = last, at_last

    def take(self, rows: torch.Tensor, generator: torch.Generator | None = None) -> Batch:
        """Count, and end the world when the time has come."""
        self.count += 1
        if self.count > self.last:
            self.at_last()
        return super().take(rows, generator)


@cache
def context() -> ForkServerContext:
    """Processes that are forked from a clean server which has imported everything."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["torch", "support.tiny", "support.killed", "grmu_audit.unlearning.methods"])
    return made


def killed_run(name: str, settings: dict[str, Any], model: Path, rows: UnlearningData, last: int, folder: Path) -> int | None:
    """Exit code of a process that runs the method and kills itself at batch ``last`` + 1."""
    parts = [part.tolist() for part in (rows.retain, rows.forget, rows.val)]
    process = context().Process(target=_die, args=(name, settings, model, parts, last, folder, torch.get_num_threads()))
    process.start()
    process.join(120)
    return process.exitcode


def _die(name: str, settings: dict[str, Any], model: Path, parts: list[list[int]], last: int, folder: Path, threads: int) -> None:
    import numpy as np
    from support.tiny import CPU, dataset, runtime

    from grmu_audit.unlearning.methods import methods

    torch.set_num_threads(threads)
    source = Counted(BatchSource(dataset(), CPU), last, lambda: os.kill(os.getpid(), signal.SIGKILL))
    retain, forget, val = (np.asarray(part, dtype=np.int64) for part in parts)
    run = runtime()
    run.checkpoints = Checkpoints(folder, KEY)
    method = methods.get(name)
    apply_method(method, load_model(model), UnlearningData(source, retain, forget, val), method.config(**settings), run)


def stored(model: Any, folder: Path) -> Path:
    """The network's files without its exported graph, for another process to read."""
    from grmu_audit.models import weights

    export, weights._export = weights._export, lambda model, path: None  # type: ignore[assignment]
    try:
        save_model(model, folder)
    finally:
        weights._export = export
    return folder
