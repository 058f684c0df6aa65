"""What a run of requests shall do, and what it has done, as one file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATE = "state.json"
KILLED, SERVER_KILLED = "command killed", "server killed"
NO_SPACE, NO_SPACE_ON_SERVER = "no space for the command", "no space for the server"
RESTARTED = "server killed between requests"


@dataclass(frozen=True)
class Plan:
    """What is run."""

    requests: int = 200
    """How many."""
    seed: int = 0
    """Of ids and disturbances; the data and the networks have theirs."""
    shares: tuple[tuple[str, float], ...] = (
        (KILLED, 0.05), (SERVER_KILLED, 0.02), (NO_SPACE, 0.03), (NO_SPACE_ON_SERVER, 0.02), (RESTARTED, 0.03),
    )  # fmt: skip
    """How often a command, or for the last one a request, meets each disturbance."""
    fresh_every: int = 25
    """Of so many pairs of requests, one has commands in new interpreters."""
    check_every: int = 40
    """Requests between two checks."""
    widths: str = "[16,32]"
    """Of the network."""
    settings: tuple[str, ...] = ("augment=false", "batch_size=64", "learning_rate=0.1")
    """Of every training."""
    epochs: tuple[int, int] = (8, 15)
    """Of the first training, and of retraining: a first version that is no better than those that follow."""


@dataclass
class State:
    """What was done."""

    plan: dict[str, Any]
    port: int
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Each finished request: ``line``, ``version``, ``promoted``, ``server`` handles and memory, ``stored`` bytes."""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    """Each command: number of the request, name, exit code, disturbance, seconds, CPU seconds, memory."""
    version: str = ""
    """That the present request was given."""
    step: int = 0
    """Commands of the present request that have ended as they should."""
    problems: list[str] = field(default_factory=list)
    """What was not as it should be."""
    checks: list[dict[str, Any]] = field(default_factory=list)
    """Number of the last request, and what was found."""
    server_seconds: float = 0.0
    """CPU seconds of servers."""
    seconds: float = 0.0
    """Wall time."""


class StoppedError(Exception):
    """A command does not end as it should, and what follows needs it; the next start gives it again."""


def read_state(folder: Path) -> State | None:
    """The stored state; None where there is none."""
    path = folder / STATE
    return State(**json.loads(path.read_bytes())) if path.is_file() else None
