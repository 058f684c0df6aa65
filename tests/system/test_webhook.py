"""A real MLflow server calls the receiver when an alias is moved by hand: the log names the change, a forged call is refused."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.judged_audits import audited, policy, predictions, version
from support.servers import free_port, mlflow_server, wait_until

from grmu_audit.tracking import Actor, Store, open_store, promote
from grmu_audit.tracking import verify as verify_store

SECRET = "a secret of some length"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that may call this machine, which MLflow does not allow by itself."""
    root = tmp_path_factory.mktemp("server")
    env = {
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",
    }
    with mlflow_server(root, f"sqlite:///{root}/mlflow.db", env=env) as url:
        yield url


@pytest.fixture(scope="module")
def store(server: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two versions with a PASS, both champion in turn."""
    found, root = open_store(server), tmp_path_factory.mktemp("files")
    for number in range(2):
        ref = version(found, "faces", root / f"v{number}", str(number).encode())
        audited(found, ref, [predictions(100)], policy())
    return found


class Running:
    """A receiver in a process of its own."""

    def __init__(self, server: str, root: Path, *options: str) -> None:
        secret, self.log, self.port = root / "secret", root / "log", free_port()
        secret.write_text(SECRET)
        secret.chmod(0o600)
        command = [sys.executable, "-m", "grmu_audit", "--actor", "receiver", "--tracking-uri", server, "webhook", "serve"]
        command += ["--port", str(self.port), "--secret-file", str(secret), *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.url = f"http://127.0.0.1:{self.port}"
        wait_until(f"{self.url}/health", self.process, self.log, 120)

    def line(self, said: str, seconds: float) -> str:
        """The first line that says it, within some seconds; else an empty one."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = [line for line in self.log.read_text().splitlines() if said in line]
            if found:
                return found[0]
            time.sleep(0.05)
        return ""

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def hooked(server: str, url: str, name: str) -> None:
    from mlflow import MlflowClient

    events = ["model_version_alias.created", "model_version_alias.deleted", "model_version.created"]
    MlflowClient(server).create_webhook(name, url, events, secret=SECRET)  # type: ignore[arg-type]


def status_of(url: str, body: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_an_alias_that_is_moved_by_hand_is_named(server: str, store: Store, tmp_path: Path) -> None:
    for number in ("1", "2"):
        promote(store, f"faces/{number}", Actor("tester"))
    receiver = Running(server, tmp_path)
    try:
        hooked(server, f"{receiver.url}/", "report")
        begun = time.monotonic()
        store.set_alias("faces", "champion", "1")
        line = receiver.line("exit code 6", 60)
        took = time.monotonic() - begun
        assert (
            "model_version_alias.created faces alias=champion version=1: alias: the alias 'champion' of faces points at" in line
        )
        assert "faces/1, the ledger says faces/2: it was moved by hand" in line
        print(f"{took:.2f} s from the change to the line")  # not asserted: it depends on what else the machine does
        assert [int(finding.error.exit_code) for finding in verify_store(store, "faces")] == [6]
        forged(receiver)
        store.set_alias("faces", "champion", "2")
        assert receiver.line("version=2: as recorded", 60)
        promote(store, "faces/1", Actor("tester"))
        assert receiver.line("exit code 0: model_version_alias.created faces alias=champion version=1: as recorded", 60)
        assert receiver.stop() == 0
    finally:
        receiver.process.kill()


def forged(receiver: Running) -> None:
    """Calls that are not signed, too large, or no calls at all: nothing is verified, and the receiver goes on."""
    before = receiver.log.read_text().count("exit code")
    signed = {"X-MLflow-Signature": "v1," + "A" * 43 + "=", "X-MLflow-Delivery-Id": "x"}
    headers = {**signed, "X-MLflow-Timestamp": str(int(time.time()))}
    assert status_of(receiver.url, b'{"entity":"model_version"}', headers) == 401
    assert receiver.line("refused (401): not signed with the secret", 10)
    assert status_of(receiver.url, b"x" * (1 << 16) + b"x", headers) == 413
    assert status_of(receiver.url, b"{}", {}) == 401
    assert receiver.log.read_text().count("exit code") == before


def test_an_alias_is_put_back_where_that_was_asked_for(server: str, store: Store, tmp_path: Path) -> None:
    champion, other = "1", "2"
    promote(store, f"faces/{champion}", Actor("tester"))
    receiver = Running(server, tmp_path, "--on-moved", "restore")
    try:
        hooked(server, f"{receiver.url}/", "restore")
        store.set_alias("faces", "champion", other)
        assert "(ledger entry" in receiver.line("restored: the alias champion of faces", 60)
        assert store.aliases("faces")["champion"] == champion
        assert receiver.line(f"version={champion}: as recorded", 60)
        assert verify_store(store, "faces") == []
        assert receiver.stop() == 0
    finally:
        receiver.process.kill()
