"""The receiver: what it answers, when it looks again, and that nothing ends it."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from pathlib import Path

import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.errors import EnvironmentFailure, IntegrityError
from grmu_audit.tracking import Finding
from grmu_audit.workflows import release
from grmu_audit.workflows.operations import webhook
from grmu_audit.workflows.operations.calls import DELIVERY, SIGNATURE, TIMESTAMP, CallCheck
from grmu_audit.workflows.operations.webhook import WAITING, Receiver, Server, serve

SECRET = "a secret of some length"
BODY = b'{"entity": "model_version_alias", "action": "created", "data": {"name": "m", "alias": "champion", "version": "2"}}'


def finding(check: str, message: str = "it is not so") -> Finding:
    return Finding(check, message, IntegrityError(message))


def headers(delivery: str = "d-1", body: bytes = BODY) -> dict[str, str]:
    stamp = str(int(time.time()))
    signature = _generate_hmac_signature(SECRET, delivery, stamp, body.decode())
    return {SIGNATURE: signature, DELIVERY: delivery, TIMESTAMP: stamp}


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Receiver, list[str]]:
    monkeypatch.setattr(webhook, "SETTLES", 0.01)
    lines: list[str] = []
    session = open_session(MemoryStore(tmp_path), tmp_path)
    return Receiver(session, CallCheck(SECRET.encode()), lines.append), lines


def worked(one: Receiver) -> None:
    """Let it work until everything that waits is done."""
    one.waiting.put(None)
    one.work()


def test_findings_that_last_are_logged_and_those_of_a_step_in_progress_are_not(
    receiver: tuple[Receiver, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, lines = receiver
    looks = iter([[finding("promotion"), finding("page", "an edited page")], [finding("page", "an edited page")]])
    monkeypatch.setattr(release, "verify", lambda *given: next(looks))
    assert one.receive(headers(), BODY, time.time()) == 202
    assert one.receive(headers(), BODY, time.time()) == 200, "MLflow repeats a call"
    worked(one)
    assert [line.partition(" ")[2] for line in lines] == [
        "exit code 6: model_version_alias.created m alias=champion version=2: page: an edited page"
    ]


def test_findings_that_differ_at_the_second_look_are_logged(
    receiver: tuple[Receiver, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, lines = receiver
    looks = iter([[finding("promotion", "it is open")], [finding("page", "an edited page")]])
    monkeypatch.setattr(release, "verify", lambda *given: next(looks))
    assert one.receive(headers(), BODY, time.time()) == 202
    worked(one)
    assert [line.rpartition("version=2: ")[2] for line in lines] == ["page: an edited page"]


def test_a_connection_that_no_thread_can_serve_takes_no_place(
    receiver: tuple[Receiver, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Server(receiver[0], ("127.0.0.1", 0)) as server:
        monkeypatch.setattr(threading.Thread, "start", fails)
        for _ in range(2 * webhook.CALLERS):
            with pytest.raises(RuntimeError, match="new thread"):
                server.process_request(None, ("127.0.0.1", 1))


def test_a_moved_alias_is_logged_at_the_first_look(receiver: tuple[Receiver, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    one, lines = receiver
    looks = iter([[finding("alias", "it was\nmoved")]])
    monkeypatch.setattr(release, "verify", lambda *given: next(looks))
    for number in range(3):
        assert one.receive(headers(f"d-{number}"), BODY, time.time()) == 202
    worked(one)
    assert len(lines) == 1
    assert lines[0].endswith("alias: it was moved")


@pytest.mark.parametrize("error", [EnvironmentFailure("no server"), ValueError("odd")])
def test_a_store_that_fails_is_a_line(
    receiver: tuple[Receiver, list[str]], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    one, lines = receiver

    def failing(*given: object) -> list[Finding]:
        raise error

    monkeypatch.setattr(release, "verify", failing)
    one.receive(headers(), BODY, time.time())
    worked(one)
    assert "exit code 4" in lines[0]
    assert str(error) in lines[0]


def test_more_than_may_wait_is_to_come_again(receiver: tuple[Receiver, list[str]]) -> None:
    one, lines = receiver
    for number in range(WAITING):
        assert one.receive(headers(f"d-{number}"), BODY, time.time()) == 202
    assert one.receive(headers("late"), BODY, time.time()) == 503
    one.waiting.get_nowait()
    assert one.receive(headers("late"), BODY, time.time()) == 202
    assert "busy" in lines[0]


def test_over_http(receiver: tuple[Receiver, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    one, lines = receiver
    monkeypatch.setattr(release, "verify", lambda *given: [])
    server = Server(one, ("127.0.0.1", 0))
    running = threading.Thread(target=serve, args=(server,))
    running.start()
    try:
        for method, path, body, sent, status in (
            ("GET", "/health", None, {}, 200),
            ("GET", "/", None, {}, 404),
            ("POST", "/", BODY, {}, 401),
            ("POST", "/", BODY, {"Content-Length": "-1"}, 411),
            ("POST", "/", b"x", {"Content-Length": "99999999"}, 413),
            ("PUT", "/", BODY, {}, 501),
            ("POST", "/anything", BODY, headers(), 202),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
            connection.request(method, path, body, sent)
            assert connection.getresponse().status == status, (method, path, sent)
            connection.close()
    finally:
        server.shutdown()
        running.join(30)
    assert not running.is_alive()
    assert lines[-1].endswith("as recorded")
    with pytest.raises(EnvironmentFailure, match="cannot listen"):
        Server(one, ("192.0.2.1", 1))


def test_what_failed_is_tried_again_and_given_up_in_the_end(
    receiver: tuple[Receiver, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, lines = receiver
    monkeypatch.setattr(webhook, "PAUSE", 0.001)
    looks = iter([EnvironmentFailure("no server"), OSError("odd"), None] + [EnvironmentFailure("still none")] * webhook.TRIES)

    def failing(*given: object) -> list[Finding]:
        if (error := next(looks)) is not None:
            raise error
        return []

    monkeypatch.setattr(release, "verify", failing)
    worker = threading.Thread(target=one.work)
    worker.start()
    for delivery, last in (("d-1", "as recorded"), ("d-2", "run 'grmu-audit verify --model m'")):
        assert one.receive(headers(delivery), BODY, time.time()) == 202
        end = time.monotonic() + 20
        while not (lines and lines[-1].endswith(last)):
            assert time.monotonic() < end, lines
            time.sleep(0.01)
    one.waiting.put(None)
    worker.join(20)
    assert len(lines) == 3 + webhook.TRIES + 1


def test_neither_a_failing_repair_nor_a_failing_log_ends_the_work(
    receiver: tuple[Receiver, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, lines = receiver
    one.restore = True

    def broken(*given: object) -> int:
        raise RuntimeError("odd")

    monkeypatch.setattr(release, "verify", lambda *given: [finding("alias")])
    monkeypatch.setattr(webhook, "restore_alias", broken)
    one.receive(headers(), BODY, time.time())
    worked(one)
    assert "exit code 4" in lines[-1]
    one.log = broken  # type: ignore[assignment]
    one.receive(headers("d-2"), BODY, time.time())
    worked(one)


def test_a_dead_worker_is_said(receiver: tuple[Receiver, list[str]]) -> None:
    one, _ = receiver
    one.worker = threading.Thread(target=print)  # it does not run
    assert one.receive(headers(), BODY, time.time()) == 503
    server = Server(one, ("127.0.0.1", 0))
    running = threading.Thread(target=server.serve_forever, args=(0.05,))
    running.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 503
    connection.close()
    server.shutdown()
    running.join(10)
    server.server_close()


def test_a_caller_that_sends_a_byte_now_and_then_is_hung_up_on(
    receiver: tuple[Receiver, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "PATIENCE", 1.0)
    server = Server(receiver[0], ("127.0.0.1", 0))
    running = threading.Thread(target=server.serve_forever, args=(0.05,))
    running.start()
    try:
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=0.2) as caller:
            caller.sendall(b"POST / HTTP/1.1\r\nX: ")
            begun, open_ = time.monotonic(), True
            while open_ and time.monotonic() - begun < 8:
                try:
                    caller.sendall(b"a")
                    open_ = caller.recv(1) != b""
                except TimeoutError:
                    continue
                except OSError:
                    open_ = False
            assert not open_
    finally:
        server.shutdown()
        running.join(10)
        server.server_close()
