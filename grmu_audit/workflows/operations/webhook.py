"""The receiver of an MLflow server's calls: after each change of an alias or a version, verify, and log what is found."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from grmu_audit.errors import EnvironmentFailure, GrmuAuditError
from grmu_audit.tracking import Actor, Finding, Requirements
from grmu_audit.tracking.promotion import restore_alias
from grmu_audit.utils.clock import timestamp
from grmu_audit.workflows import release
from grmu_audit.workflows.operations.calls import LARGEST, CallCheck, Event, RefusedError
from grmu_audit.workflows.session import Session

WAITING = 100
"""Events that may wait; MLflow is told to call again when there are more."""
CALLERS = 16
"""Connections that are served at the same time; further ones are closed."""
PATIENCE = 10.0
"""Seconds that a caller may take to send its call, as a whole."""
SETTLES = 2.0
"""Seconds until the second check of a finding that an audit or a promotion in progress may explain."""
TRIES, PAUSE = 5, 30.0
"""Most tries to verify a model whose store cannot be reached, and seconds before the second try; each pause doubles."""
Log = Callable[[str], None]
"""Writes one line."""


@dataclass
class Receiver:
    """Takes events from calls and verifies their models, one after the other."""

    session: Session
    """Store and actor."""
    check: CallCheck
    """Who may call."""
    log: Log
    """Where lines go."""
    requirements: Requirements | None = None
    """What the champion must meet, as for ``verify``."""
    restore: bool = False
    """Whether an alias that was moved by hand is put back where the ledger says."""
    waiting: queue.Queue[Event | None] = field(default_factory=lambda: queue.Queue(WAITING))
    """Events in order; None ends the work."""
    worker: threading.Thread | None = None
    """The thread that verifies, while the receiver serves."""
    _failed: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def works(self) -> bool:
        """Whether what is received will be verified."""
        return self.worker is None or self.worker.is_alive()

    def receive(self, headers: dict[str, str], body: bytes, now: float) -> int:
        """Take a call; returns the HTTP status of the answer."""
        try:
            event = self.check.read(headers, body, now)
        except RefusedError as error:
            self._say(f"refused ({error.status}): {error}")
            return error.status
        if not event.model or not self.check.take(event, now):
            return 200
        if not self.works:
            self.check.forget(event)
            return 503
        try:
            self.waiting.put_nowait(event)
        except queue.Full:
            self.check.forget(event)
            self._say(f"busy: {WAITING} events wait, MLflow should call again")
            return 503
        return 202

    def work(self) -> None:
        """Verify the models of events until ``None`` comes; waiting events of one model are handled together."""
        while (event := self.waiting.get()) is not None:
            events, ended = [event], False
            while not self.waiting.empty():
                more = self.waiting.get()
                ended = ended or more is None
                events += [more] if more is not None else []
            for model in dict.fromkeys(one.model for one in events):
                self._handle(model, [one for one in events if one.model == model])
            if ended:
                return

    def _handle(self, model: str, events: list[Event]) -> None:
        """Verify a model and log any failure; a failure with exit code 4 is tried again after a pause."""
        said = "; ".join(dict.fromkeys(one.said for one in events))
        try:
            self._verify(model, said)
        except Exception as error:  # noqa: BLE001  (the receiver goes on)
            code = int(error.exit_code) if isinstance(error, GrmuAuditError) else 4
            text = str(error) if isinstance(error, GrmuAuditError) else f"{type(error).__name__}: {error}"
            self._say(f"exit code {code}: {said}: cannot verify: {text}")
            if code == 4:
                self._try_later(model, events[-1])
                return
        self._failed.pop(model, None)

    def _try_later(self, model: str, event: Event) -> None:
        tries = self._failed.get(model, 0) + 1
        if tries >= TRIES:
            self._failed.pop(model, None)
            self._say(f"given up after {tries} tries: {event.said}: run 'grmu-audit verify --model {model}'")
            return
        self._failed[model] = tries
        timer = threading.Timer(PAUSE * 2 ** (tries - 1), self._put_back, [event])
        timer.daemon = True
        timer.start()

    def _put_back(self, event: Event) -> None:
        try:
            self.waiting.put_nowait(event)
        except queue.Full:
            self._say(f"busy: {event.said} is not tried again: run 'grmu-audit verify --model {event.model}'")

    def _verify(self, model: str, said: str) -> None:
        findings = self._lasting(model)
        for finding in findings:
            self._say(f"exit code {int(finding.error.exit_code)}: {said}: {finding.check}: {finding.message}")
        if not findings:
            self._say(f"exit code 0: {said}: as recorded")
        if self.restore and any(finding.check == "alias" for finding in findings):
            self._restore(model)

    def _lasting(self, model: str) -> list[Finding]:
        """Findings; those that an audit or a promotion in progress may explain only where a second check finds something too.

        Of the second check, those that the first had found are returned, or all where it had found none of them.
        """
        findings = release.verify(self.session, model, self.requirements)
        if not findings or any(finding.check == "alias" for finding in findings):
            return findings
        time.sleep(SETTLES)
        before, again = {finding.message for finding in findings}, release.verify(self.session, model, self.requirements)
        return [finding for finding in again if finding.message in before] or again

    def _restore(self, model: str) -> None:
        try:
            entry = restore_alias(self.session.store, model, Actor(self.session.actor, "the alias was moved by hand"))
            self._say(
                f"restored: the alias champion of {model} is again the version that the ledger names (ledger entry {entry})"
            )
        except GrmuAuditError as error:
            self._say(f"exit code {int(error.exit_code)}: not restored: {error}")
            if int(error.exit_code) == 4:
                raise

    def _say(self, text: str) -> None:
        with contextlib.suppress(Exception):  # a log that is full or closed does not end the work
            self.log(f"{timestamp()} {' '.join(text.split())}")


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """A call."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()) or int(length) > LARGEST:
            self._answer(413 if length.isdecimal() else 411)
            return
        body = self.rfile.read(int(length))
        self._answer(self.server.receiver.receive(dict(self.headers.items()), body, time.time()))

    def do_GET(self) -> None:
        """Whether the receiver verifies what it receives."""
        self._answer(404 if self.path != "/health" else 200 if self.server.receiver.works else 503)

    def _answer(self, status: int) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        if status == 503:
            self.send_header("Retry-After", "5")
        self.end_headers()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the receiver logs."""


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may be closed already
        connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    """The HTTP server of a receiver.

    Args:
        receiver: takes the calls.
        address: host and port; port 0 takes a free one.
        tls: certificate chain and private key, for HTTPS.

    Raises:
        EnvironmentFailure: the address cannot be used, or the certificate cannot be read.
    """

    daemon_threads = True

    def __init__(self, receiver: Receiver, address: tuple[str, int], tls: tuple[str, str] | None = None) -> None:
        self.receiver, self._places = receiver, threading.BoundedSemaphore(CALLERS)
        try:
            super().__init__(address, _Handler)
            if tls is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*tls)
                self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        except (OSError, OverflowError) as error:
            raise EnvironmentFailure(f"cannot listen at {address[0]}:{address[1]}: {error}") from error

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection where there is a place."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started to serve it
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, and free its place; it is closed after ``PATIENCE`` seconds."""
        deadline = threading.Timer(PATIENCE, _close, [request])
        deadline.daemon = True
        deadline.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            deadline.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a caller that closed the connection or sent no HTTP."""


def serve(server: Server) -> None:
    """Serve until the server is shut down; waiting events are verified before it ends."""
    receiver = server.receiver
    receiver.worker = worker = threading.Thread(target=receiver.work, name="verify")
    worker.start()
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()
        receiver.waiting.put(None)
        worker.join()
