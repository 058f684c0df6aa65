"""Calls of an MLflow server: only those that are signed with the secret, of these minutes, small and new."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.webhooks.delivery import _generate_hmac_signature

from grmu_audit.errors import EnvironmentFailure, InputError, NotFoundError
from grmu_audit.workflows.operations.calls import (
    DELIVERY,
    LARGEST,
    SIGNATURE,
    TIMESTAMP,
    WINDOW,
    CallCheck,
    RefusedError,
    read_webhook_secret,
)

SECRET, NOW = "a secret of some length", 1_800_000_000
EVENT = {"entity": "model_version_alias", "action": "created", "data": {"name": "faces", "alias": "champion", "version": "3"}}


def call(tree: object = EVENT, *, secret: str = SECRET, at: int = NOW, delivery: str = "d-1") -> tuple[dict[str, str], bytes]:
    """A call as MLflow makes it, signed by MLflow's own function."""
    body = json.dumps(tree)
    signature = _generate_hmac_signature(secret, delivery, str(at), body)
    return {SIGNATURE: signature, DELIVERY: delivery, TIMESTAMP: str(at)}, body.encode()


def check() -> CallCheck:
    return CallCheck(SECRET.encode())


def test_a_call_of_mlflow_is_read() -> None:
    event = check().read(*call(), NOW)
    assert (event.model, event.kind) == ("faces", "model_version_alias.created")
    assert event.said == "model_version_alias.created faces alias=champion version=3"
    lower = {name.lower(): value for name, value in call()[0].items()}
    assert check().read(lower, call()[1], NOW) == event


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (*call(secret="another secret of that length"), 401),
        (*call(at=NOW - WINDOW - 1), 401),
        (*call(at=NOW + WINDOW + 1), 401),
        ({**call()[0], SIGNATURE: ""}, call()[1], 401),
        ({**call()[0], SIGNATURE: call()[0][SIGNATURE].replace("v1,", "v2,")}, call()[1], 401),
        ({**call()[0], TIMESTAMP: str(NOW + 1)}, call()[1], 401),
        ({**call()[0], TIMESTAMP: "\u0661" * 10}, call()[1], 401),
        ({**call()[0], TIMESTAMP: "9" * 30}, call()[1], 401),
        ({**call()[0], DELIVERY: "d-2"}, call()[1], 401),
        ({**call()[0], DELIVERY: ""}, call()[1], 401),
        (call()[0], call()[1] + b" ", 401),
        (call()[0], b" " * (LARGEST + 1), 413),
        (*call([1]), 400),
        (*call({"entity": "model_version", "action": "created", "data": 3}), 400),
    ],
)
def test_what_is_not_one_is_refused(headers: dict[str, str], body: bytes, status: int) -> None:
    with pytest.raises(RefusedError) as found:
        check().read(headers, body, NOW)
    assert found.value.status == status


@pytest.mark.parametrize(
    "tree",
    [
        {**EVENT, "entity": "prompt_alias"},
        {**EVENT, "action": "updated"},
        {**EVENT, "data": {"name": "faces--ledger"}},
        {**EVENT, "data": {"name": "../etc"}},
        {**EVENT, "data": {}},
    ],
)
def test_other_events_are_taken_and_nothing_is_verified(tree: object) -> None:
    assert check().read(*call(tree), NOW).model == ""


def test_a_call_is_obeyed_once() -> None:
    calls = check()
    event = calls.read(*call(), NOW)
    assert calls.take(event, NOW)
    assert not calls.take(event, NOW + 5)
    calls.forget(event)
    assert calls.take(event, NOW + 6)
    for number in range(12_000):
        calls.take(calls.read(*call(delivery=f"x{number}"), NOW), NOW) if number < 50 else None
    assert len(calls._taken) <= 10_000


@given(st.dictionaries(st.sampled_from([SIGNATURE, DELIVERY, TIMESTAMP]), st.text(max_size=40)), st.binary(max_size=200))
def test_nothing_unsigned_is_ever_read(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(RefusedError):
        check().read(headers, body, NOW)


def test_the_secret_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(NotFoundError):
        read_webhook_secret(path)
    path.write_text("short\n")
    path.chmod(0o600)
    with pytest.raises(InputError, match="5 characters"):
        read_webhook_secret(path)
    path.write_text(SECRET + "\n")
    assert read_webhook_secret(path) == SECRET.encode()
    path.chmod(0o644)
    with pytest.raises(EnvironmentFailure, match="0644"):
        read_webhook_secret(path)
