"""An ``mlflow server`` that can be killed, started again, and left without space for its files."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

SECONDS_TO_START = 300
"""A busy machine is no failure."""
_TICKS = os.sysconf("SC_CLK_TCK")
_SESSION, _USER, _SYSTEM = 3, 11, 12
"""Fields of ``/proc/PID/stat`` after the name of the program."""


@dataclass(frozen=True)
class Usage:
    """What all processes of the server hold."""

    handles: int
    """Open file handles."""
    memory: int
    """Resident bytes."""


class Server:
    """One server with an SQLite database and its artifacts in a folder; it keeps its port when it is started again.

    Args:
        folder: of database, artifacts and log.
        port: where it listens.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.process: subprocess.Popen[bytes] | None = None
        self.seconds = 0.0
        """CPU seconds of servers that have ended."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        """File of the database."""
        return self.folder / "mlflow.db"

    def start(self) -> None:
        """Start it, and wait until it answers; one that an interrupted run left behind is ended first.

        Raises:
            RuntimeError: it ended, or does not answer in time.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._end_one_left_behind()
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
        options += [
            "--backend-store-uri",
            f"sqlite:///{self.database}",
            "--artifacts-destination",
            str(self.folder / "artifacts"),
        ]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")}
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**kept, **quiet},
                start_new_session=True,
            )
        self._pid_file.write_text(str(self.process.pid))
        self._wait(self.process)

    def kill(self) -> None:
        """End it and its workers by signal 9."""
        if self.process is not None:
            self.seconds += self._running_seconds()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(60)
        self.process = None

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self.start()

    def limit_files(self, size: int | None) -> None:
        """Let no file of the server grow beyond that size, from now on; None: as far as there is space."""
        for number in self._numbers():
            hard = resource.prlimit(number, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(number, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def usage(self) -> Usage:
        """Handles and memory now."""
        handles = memory = 0
        for number in self._numbers():
            with contextlib.suppress(OSError):
                handles += sum(1 for _ in Path(f"/proc/{number}/fd").iterdir())
                memory += int(Path(f"/proc/{number}/statm").read_text().split()[1]) * resource.getpagesize()
        return Usage(handles, memory)

    def cpu_seconds(self) -> float:
        """Of this server and of those before it."""
        return self.seconds + self._running_seconds()

    def stored_bytes(self) -> int:
        """Of database and artifacts."""
        files = [self.database, *(path for path in (self.folder / "artifacts").rglob("*") if path.is_file())]
        return sum(path.stat().st_size for path in files if path.exists())

    @property
    def _pid_file(self) -> Path:
        return self.folder / "pid"

    def _numbers(self) -> list[int]:
        """Process numbers of its session: the server and its workers."""
        if self.process is None:
            return []
        names = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return [int(name) for name in names if _stat(name)[_SESSION:][:1] == [self._session]]

    @property
    def _session(self) -> str:
        return str(self.process.pid if self.process else 0)

    def _running_seconds(self) -> float:
        fields = [_stat(str(number)) for number in self._numbers()]
        return sum(int(one[_USER]) + int(one[_SYSTEM]) for one in fields if one) / _TICKS

    def _end_one_left_behind(self) -> None:
        if self.process is not None or not self._pid_file.is_file():
            return
        number = int(self._pid_file.read_text())
        with contextlib.suppress(OSError):
            if str(self.folder).encode() in Path(f"/proc/{number}/cmdline").read_bytes():
                os.killpg(number, signal.SIGKILL)
                time.sleep(1)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2):
                    return
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"the server ended: {self.folder / 'log'} says why") from None
                time.sleep(0.25)
        raise RuntimeError(f"the server did not answer within {SECONDS_TO_START} seconds: {self.folder / 'log'} says why")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stat(number: str) -> list[str]:
    """Fields of a process after its name; empty where it has ended."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
