"""Real servers for tests: PostgreSQL from Debian, and ``mlflow server`` in front of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.system_packages import missing

ACCOUNT = "postgres"
RUNNING: dict[str, subprocess.Popen[bytes]] = {}
"""URL of each MLflow server of this process to its process."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_bin() -> Path | None:
    """Folder of Debian's PostgreSQL programs, the newest."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


@contextmanager
def postgres(root: Path) -> Iterator[str]:
    """A throw-away PostgreSQL cluster on a local port; yields the URI of its database without a database name."""
    programs = postgres_bin()
    if programs is None:
        missing("PostgreSQL is not installed: apt-get install postgresql")
    account = ACCOUNT if os.geteuid() == 0 else None
    data, port = root / "data", free_port()
    root.mkdir(parents=True, exist_ok=True)
    if account is not None:
        for folder in (root, *root.parents):
            if folder != Path("/tmp") and str(folder).startswith("/tmp/"):
                folder.chmod(0o755)
        shutil.chown(root, account)
    command = [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", root]
    tuning = ["fsync=off", "max_connections=200", "shared_buffers=32MB"]
    address = f"postgresql://grmu@127.0.0.1:{port}"
    with (root / "log").open("ab") as log:
        base = {"cwd": root, "user": account, "stdout": log, "stderr": log}
        subprocess.run([programs / "initdb", "-D", data, "-U", "grmu", "--auth=trust", "-N"], check=True, **base)  # type: ignore[call-overload]
        process = subprocess.Popen([*command, *(part for one in tuning for part in ("-c", one))], **base)  # type: ignore[call-overload]
    try:
        _wait_for_database(address, process, root / "log")
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def database(base: str, name: str) -> str:
    """A new, empty database; returns its URI."""
    import psycopg2

    connection = psycopg2.connect(f"{base}/postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()
    return f"{base}/{name}".replace("postgresql://", "postgresql+psycopg2://")


@contextmanager
def mlflow_server(root: Path, backend: str, *options: str, env: Mapping[str, str] | None = None, port: int = 0) -> Iterator[str]:
    """A running ``mlflow server``; yields its URL."""
    root.mkdir(parents=True, exist_ok=True)
    number = port or free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(number), "--workers", "1"]
    command += ["--backend-store-uri", backend, "--artifacts-destination", str(root / "artifacts"), *options]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")}
    # eight processes for jobs of MLflow's own would be started with each server, which nothing here uses
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (root / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=root,
            env={**kept, **quiet, **(env or {})},
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{number}"
        wait_for(url, process, root / "log")
        RUNNING[url] = process
        yield url
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(120)  # as for its start: a busy machine is no failure


def kill(url: str) -> None:
    """End a server of this process without warning, its workers too."""
    process = RUNNING.pop(url)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server answers, at most five minutes: a busy machine is no failure."""
    wait_until(f"{url}/health", process, log, 300)


def wait_until(url: str, process: subprocess.Popen[bytes], log: Path, seconds: int) -> None:
    """Until that address answers, at most so long."""
    for _ in range(4 * seconds):
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.25)
    raise AssertionError(f"{url} did not answer within {seconds} seconds:\n{log.read_text()}")


def _wait_for_database(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers; that its port does is no proof, since another process may have taken it."""
    import psycopg2

    for _ in range(480):
        assert process.poll() is None, f"PostgreSQL did not start:\n{log.read_text()[-2000:]}"
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(f"{address}/postgres").close()
            return
        time.sleep(0.25)
    raise AssertionError(f"PostgreSQL did not start within 2 minutes:\n{log.read_text()[-2000:]}")
