"""What a tracking server says of itself before it is opened."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from grmu_audit.tracking.mlflow.probing import probe


@contextmanager
def _server(answer: bytes) -> Iterator[str]:
    """Address of a server that gives this answer to whatever is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for _ in range(2):  # the first connection shows that the server is there
                connection, _ = listening.accept()
                with connection:
                    if connection.recv(4096):
                        connection.sendall(answer)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


def test_a_server_with_a_user_name_in_its_address_names_its_version() -> None:
    with _server(b"HTTP/1.0 200 OK\r\n\r\n3.4.0\n") as address:
        place = probe(f"http://ci:secret@{address}", None)
    assert (place.uri, place.version) == (f"http://***@{address}", "3.4.0")


def test_a_server_that_does_not_speak_http_has_no_version() -> None:
    with _server(b"SSH-2.0-OpenSSH\r\n") as address:
        assert probe(f"http://{address}", None).version == "unknown (SSH-2.0-OpenSSH)"
