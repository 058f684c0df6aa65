"""Checks of an MLflow server's calls before anything is done: signed, recent, small, and each taken once.

MLflow signs ``<delivery id>.<timestamp>.<body>`` by HMAC-SHA256 with the webhook's secret, as the Standard Webhooks
specification has it, and sends ``v1,<base64>``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.evidence.pseudonyms import read_secret

SIGNATURE, DELIVERY, TIMESTAMP = "X-MLflow-Signature", "X-MLflow-Delivery-Id", "X-MLflow-Timestamp"
"""Headers of a call."""
WINDOW = 300
"""Seconds by which the time of a call may differ from the clock here."""
LARGEST = 1 << 16
"""Bytes of a body."""
SHORTEST_SECRET = 16
"""Characters of a secret."""
VERIFIED = {"model_version": ("created",), "model_version_tag": ("set", "deleted"), "model_version_alias": ("created", "deleted")}
"""Events after which a model is verified, by entity; others are accepted and ignored."""
_MOST_KNOWN = 10_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_LEDGER = "--ledger"


class RefusedError(InputError):
    """A call that is refused.

    Args:
        status: HTTP status of the answer.
        reason: why, for the log; the caller is told the status alone.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Event:
    """A change in the registry."""

    delivery: str
    """Id of the call."""
    kind: str
    """``model_version_alias.created``, for example."""
    model: str
    """Registered model; empty where nothing is to be verified."""
    said: str
    """The change in words."""


@dataclass
class CallCheck:
    """Checks calls, and remembers those that were taken."""

    secret: bytes
    """The webhook's secret."""
    _taken: OrderedDict[str, float] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def read(self, headers: Mapping[str, str], body: bytes, now: float) -> Event:
        """The event of a call.

        Args:
            headers: by name, as HTTP gives them.
            body: of at most ``LARGEST`` bytes.
            now: seconds since 1970.

        Raises:
            RefusedError: not signed with the secret, of another time, too large, or not an event.
        """
        given = {name.lower(): value for name, value in headers.items()}
        delivery, stamp, signature = (given.get(name.lower(), "") for name in (DELIVERY, TIMESTAMP, SIGNATURE))
        if len(body) > LARGEST:
            raise RefusedError(413, f"a body of {len(body):,} bytes")
        if not (0 < len(delivery) <= 200 and stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12):
            raise RefusedError(401, f"without {DELIVERY} or {TIMESTAMP}")
        if not self._signed(signature, delivery, stamp, body):
            raise RefusedError(401, f"not signed with the secret ({SIGNATURE})")
        if abs(now - int(stamp)) > WINDOW:
            raise RefusedError(
                401, f"signed {now - int(stamp):.0f} seconds ago, {WINDOW} are allowed: repeated, or a clock is wrong"
            )
        return _event(delivery, body)

    def take(self, event: Event, now: float) -> bool:
        """Remember a call; False for one that was taken before, which MLflow repeats when it saw no answer."""
        with self._lock:
            while self._taken and (len(self._taken) >= _MOST_KNOWN or next(iter(self._taken.values())) < now - 2 * WINDOW):
                self._taken.popitem(last=False)
            if event.delivery in self._taken:
                return False
            self._taken[event.delivery] = now
            return True

    def forget(self, event: Event) -> None:
        """Forget a call that could not be handled, so that it may come again."""
        with self._lock:
            self._taken.pop(event.delivery, None)

    def _signed(self, signature: str, delivery: str, stamp: str, body: bytes) -> bool:
        content = f"{delivery}.{stamp}.".encode("latin-1", "replace") + body
        wanted = base64.b64encode(hmac.digest(self.secret, content, hashlib.sha256))
        versions = [one.partition(",") for one in signature.split(" ")[:8]]
        same = [hmac.compare_digest(wanted, value.encode("latin-1", "replace")) for kind, _, value in versions if kind == "v1"]
        return any(same)


def _event(delivery: str, body: bytes) -> Event:
    try:
        tree = json.loads(body)
        entity, action, data = str(tree["entity"]), str(tree["action"]), dict(tree["data"])
        name = str(data.get("name", ""))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RefusedError(400, "a body that is not an event of MLflow") from None
    kind = f"{entity}.{action}"[:80]
    if action not in VERIFIED.get(entity, ()) or not _NAME.fullmatch(name) or name.endswith(_LEDGER):
        return Event(delivery, kind, "", "")
    told = {key: str(data[key])[:80] for key in ("alias", "version", "key") if key in data}
    return Event(delivery, kind, name, " ".join([kind, name, *(f"{key}={value}" for key, value in told.items())]))


def read_webhook_secret(path: Path) -> bytes:
    """The secret in a file that its owner alone can read.

    Raises:
        NotFoundError: no such file.
        EnvironmentFailure: others can read it.
        InputError: it is too short to be one.
    """
    try:
        content = read_secret(path, "webhook secret", "", "choose a new secret").strip()
    except FileNotFoundError:
        raise NotFoundError(f"no secret file {path}: write the webhook's secret into it, mode 0600") from None
    if len(content) < SHORTEST_SECRET:
        raise InputError(f"the secret in {path} has {len(content)} characters: use at least {SHORTEST_SECRET}")
    return content
