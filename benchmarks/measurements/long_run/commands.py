"""Commands of the tool, each a process of its own that can be killed at any moment or left without space for its files.

A command is started anew (``python -m grmu_audit``), or forked from a process that has imported the libraries: these imports take
more than training does.  Both run the same command line.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PRELOAD = (
    "torch",
    "torch._dynamo",
    "mlflow",
    "great_expectations",
    "sklearn.ensemble",
    "torchvision",
    "grmu_audit.unlearning.methods",
    "grmu_audit.models.catalog",
    "grmu_audit.workflows.versions.unlearning",
    "grmu_audit.workflows.audits.pipeline",
    "grmu_audit.workflows.release",
    "grmu_audit.tracking.mlflow.store",
)
"""What commands import."""
LONGEST = 900.0
"""Seconds after which a command counts as hanging."""
HUNG = -999
"""Exit code of one that did."""
_STEP = 0.01
_END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux."""


@dataclass(frozen=True)
class Place:
    """Where commands run."""

    folder: Path
    """Working folder; their output lies in ``output``."""
    environment: dict[str, str]
    """What they find in the environment beyond that of this process."""


@dataclass(frozen=True)
class Disturbance:
    """What happens while a command runs."""

    after: float
    """Seconds after its start."""
    happen: Callable[[int], None]
    """Gets the number of its process group."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    """Exit code; minus the signal that killed it."""
    out: str
    """Standard output."""
    err: str
    """Standard error."""
    seconds: float
    """Wall time."""
    cpu: float
    """CPU seconds; 0 where a forked command was killed."""
    memory: int
    """Most resident bytes; 0 where a forked command was killed."""
    disturbed: bool
    """Whether it ran long enough for the disturbance."""


def kill_group(number: int) -> None:
    """End a process group by signal 9."""
    os.killpg(number, signal.SIGKILL)


def run_command(
    place: Place, line: Sequence[str], *, fresh: bool, disturbance: Disturbance | None = None, largest_file: int | None = None
) -> Done:
    """Run a command line of the tool to its end.

    Args:
        place: where.
        line: words after ``grmu-audit``.
        fresh: a new interpreter; else forked from one that has imported the libraries.
        disturbance: what happens while it runs.
        largest_file: bytes beyond which none of its files may grow; None: no limit.
    """
    (place.folder / "output").mkdir(parents=True, exist_ok=True)
    words, start, disturbed = ["--quiet", "--device", "cpu", *line], time.monotonic(), False
    started = (_Fresh if fresh else _Forked)(place, words, largest_file)
    while (code := started.ended()) is None:
        passed = time.monotonic() - start
        if disturbance is not None and not disturbed and passed >= disturbance.after:
            disturbed = True
            disturbance.happen(started.group)
        if passed > LONGEST:
            kill_group(started.group)
            code = HUNG
            break
        time.sleep(_STEP)
    cpu, memory = started.cost
    out, err = (_output(place, name).read_text(errors="replace") for name in ("out", "err"))
    return Done(code, out, err, time.monotonic() - start, cpu, memory, disturbed)


def call(place: Place, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns, computed in a process of its own that has the commands' environment.

    Raises:
        RuntimeError: it raised something; the text says what.
    """
    ours, theirs = _context().Pipe(duplex=False)
    process = _context().Process(target=_call, args=(place, theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        fine, value = ours.recv()
    except EOFError:
        fine, value = False, "the process ended without an answer"
    process.join()
    if not fine:
        raise RuntimeError(value)
    return value


class _Fresh:
    """A new interpreter."""

    def __init__(self, place: Place, words: Sequence[str], largest_file: int | None) -> None:
        self.cost = (0.0, 0)
        with _output(place, "out").open("wb") as out, _output(place, "err").open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "grmu_audit", *words],
                cwd=place.folder,
                env={**os.environ, **place.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=lambda: _limit(largest_file),
            )
        self.group = self._process.pid

    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        number, status, used = os.wait4(self._process.pid, os.WNOHANG)
        if number == 0:
            return None
        self.cost = (used.ru_utime + used.ru_stime, used.ru_maxrss << 10)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode


class _Forked:
    """A fork of a process that has imported the libraries."""

    def __init__(self, place: Place, words: Sequence[str], largest_file: int | None) -> None:
        self._pipe, theirs = _context().Pipe()
        self._process = _context().Process(target=_execute, args=(place, theirs, words, largest_file))
        self._process.start()
        theirs.close()
        self._pipe.recv()  # it leads a group of its own from here on
        self.group = int(self._process.pid or 0)
        self._pipe.send("go")

    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        self._process.join(0)
        return self._process.exitcode

    @property
    def cost(self) -> tuple[float, int]:
        """CPU seconds and most resident bytes, where it could still say so."""
        try:
            return self._pipe.recv() if self._pipe.poll(0) else (0.0, 0)
        except (EOFError, OSError):
            return 0.0, 0


def _context() -> multiprocessing.context.ForkServerContext:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(list(PRELOAD))
    return made


def _execute(place: Place, pipe: Connection, words: Sequence[str], largest_file: int | None) -> None:
    """In the forked process: the command line of the tool."""
    os.setsid()
    pipe.send("ready")
    pipe.recv()
    _enter(place)
    for number, name in ((1, "out"), (2, "err")):
        with _output(place, name).open("wb") as stream:
            os.dup2(stream.fileno(), number)
    _limit(largest_file)
    from grmu_audit.cli.app import execute

    code = execute(list(words))
    sys.stdout.flush()
    sys.stderr.flush()
    used = resource.getrusage(resource.RUSAGE_SELF)
    pipe.send((used.ru_utime + used.ru_stime, used.ru_maxrss << 10))
    sys.exit(code)


def _call(place: Place, pipe: Connection, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    _enter(place)
    try:
        pipe.send((True, function(*arguments)))
    except Exception as error:  # noqa: BLE001  (whatever it is, the caller says it)
        pipe.send((False, f"{type(error).__name__}: {error}"))


def _enter(place: Place) -> None:
    """The folder and environment of commands, for what has read neither yet."""
    import tempfile

    import torch

    os.environ.update(place.environment)
    os.chdir(place.folder)
    tempfile.tempdir = None
    torch.set_num_threads(1)


def _limit(largest_file: int | None) -> None:
    """The size of files; and a command ends with the process that gave it, which would give it again while it runs."""
    ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    if largest_file is not None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, hard))


def _output(place: Place, name: str) -> Path:
    return place.folder / "output" / name
