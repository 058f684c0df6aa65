"""A run of requests in numbers: what was done to it, what came of it, and what grew from its first to its last tenth."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.measurements.long_run.state import RESTARTED, State

COMMANDS = ("add", "unlearn", "retrain", "audit", "promote")
FEWEST = 20
"""Requests below which nothing is said about growth."""
_MIB = 1 << 20


@dataclass(frozen=True)
class Growth:
    """Medians of one quantity."""

    what: str
    """Name and unit."""
    first: float
    """Median over the first tenth."""
    last: float
    """Median over the last tenth."""
    most: float | None
    """How many times the first median the last one may be; None: reported only."""

    @property
    def held(self) -> bool:
        """Whether it stayed within the limit."""
        return self.most is None or self.last <= self.most * self.first


def growths(state: State) -> list[Growth]:
    """Every quantity of which there are two values at least; empty for fewer than ``FEWEST`` requests."""
    done = state.requests
    if len(done) < FEWEST:
        return []
    sizes = [one["stored"] for one in done]
    added = [(after - before) / _MIB for before, after in itertools.pairwise(sizes)]
    rows: list[tuple[str, Sequence[float], float | None]] = [
        ("open file handles of the server", [one["handles"] for one in done], 1.1),
        ("resident memory of the server, MiB", [one["memory"] / _MIB for one in done], 1.5),
        ("bytes that a request adds to the store, MiB", added, 1.5),
    ]
    for fresh, how in ((True, "new interpreter"), (False, "forked")):
        for name in COMMANDS:
            own = [one for one in state.attempts if one["name"] == name and one["fresh"] == fresh and _whole(one)]
            rows.append((f"peak memory of `{name}`, {how}, MiB", [one["memory"] / _MIB for one in own], 1.2))
            if not fresh:
                rows.append((f"CPU seconds of `{name}`, {how}", [one["cpu"] for one in own], None))
    return [_growth(what, values, most) for what, values, most in rows if len(values) > 1]


def _whole(attempt: Mapping[str, Any]) -> bool:
    return not attempt["disturbance"] and attempt["memory"] > 0


def _growth(what: str, values: Sequence[float], most: float | None) -> Growth:
    tenth = max(1, len(values) // 10)
    return Growth(what, median(values[:tenth]), median(values[-tenth:]), most)


def disturbances(state: State) -> dict[str, dict[str, int]]:
    """How often each disturbance met a command, and how the command ended, by kind."""
    found: dict[str, Counter[str]] = {}
    for one in state.attempts:
        if one["disturbance"]:
            ending = "" if one["disturbance"] == RESTARTED else "killed" if one["code"] < 0 else f"exit code {one['code']}"
            found.setdefault(one["disturbance"], Counter())[ending] += 1
    return {kind: dict(sorted(counts.items())) for kind, counts in sorted(found.items())}


def endings(state: State) -> dict[str, tuple[int, int]]:
    """By line: requests whose version was promoted, and all."""
    return {
        line: (
            sum(one["promoted"] for one in state.requests if one["line"] == line),
            sum(one["line"] == line for one in state.requests),
        )
        for line in ("retrain", "unlearn")
    }


def cpu_minutes(state: State) -> float:
    """Of commands and servers; commands that were killed in a fork have no number."""
    return (state.server_seconds + sum(float(one.get("cpu", 0.0)) for one in state.attempts)) / 60
