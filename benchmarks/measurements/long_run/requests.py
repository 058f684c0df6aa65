"""Requests one after the other, with random disturbances; an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measurements.long_run.checks import Expected, find_defects, read_facts
from benchmarks.measurements.long_run.commands import Disturbance, Done, Place, call, kill_group, run_command
from benchmarks.measurements.long_run.server import Server, free_port
from benchmarks.measurements.long_run.state import (
    KILLED,
    NO_SPACE,
    NO_SPACE_ON_SERVER,
    RESTARTED,
    SERVER_KILLED,
    STATE,
    Plan,
    State,
    StoppedError,
    read_state,
)
from grmu_audit.utils import canonical_json, write_atomic

NAME = "digits"
SMALL_FILES = (1 << 12, 1 << 15, 1 << 18)
"""Bytes beyond which no file grows while there is no space."""
WANTED = {"add": (0,), "unlearn": (0,), "retrain": (0,), "audit": (0,)}
"""Exit codes of commands that nothing disturbs; those of ``promote`` depend on what it promotes."""


def run_requests(folder: Path, plan: Plan, seconds: float, say: Callable[[str], None] = lambda text: None) -> State:
    """Run what is missing, until all requests are done or the time is over.

    Args:
        folder: of store, lists and state.
        plan: what is run; a folder with another plan is refused.
        seconds: after that time no further request is begun; one that was interrupted is finished.
        say: gets a line for each request and check.

    Raises:
        ValueError: the folder holds a run of another plan.
        StoppedError: see there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run, end = _Run(folder.resolve(), plan, say), time.monotonic() + seconds
    run.server.start()
    try:
        run.prepare()
        while len(run.state.requests) < plan.requests and (time.monotonic() < end or run.interrupted):
            run.serve(len(run.state.requests) + 1)
        if not run.state.checks or run.state.checks[-1]["after"] < len(run.state.requests):
            run.check()
    finally:
        run.close()
    return run.state


class _Run:
    """One run, from where it stopped."""

    def __init__(self, folder: Path, plan: Plan, say: Callable[[str], None]) -> None:
        self.folder, self.plan, self.say = folder, plan, say
        as_json = json.loads(canonical_json(asdict(plan)))
        self.state = read_state(folder) or State(as_json, free_port())
        if {**self.state.plan, "requests": plan.requests} != as_json:
            raise ValueError(f"{folder} holds a run of another plan: give another folder")
        self.state.plan = as_json
        self.server = Server(folder / "server", self.state.port)
        self.server.seconds = self.state.server_seconds
        temporary = folder / "temporary"
        temporary.mkdir(exist_ok=True)
        own = {"TMPDIR": temporary, "GRMU_AUDIT_HMAC_KEY_FILE": folder / "hmac.key", "GRMU_AUDIT_CACHE": folder / "cache"}
        environment = {
            "MLFLOW_TRACKING_URI": self.server.url,
            "OMP_NUM_THREADS": "1",
            **{key: str(value) for key, value in own.items()},
        }
        self.place, self.begun = Place(folder, environment), time.monotonic()

    def prepare(self) -> None:
        """The first version, and the order in which ids are asked for."""
        if not (self.folder / "ids.json").is_file():
            write_atomic(self.folder / "ids.json", canonical_json(call(self.place, training_ids)))
        self.ids: list[str] = json.loads((self.folder / "ids.json").read_bytes())
        rng = np.random.default_rng([self.plan.seed, 0])
        self.order: list[str] = rng.permutation(self.ids).tolist()
        self.sizes = rng.integers(1, 3, self.plan.requests, endpoint=True).tolist()
        if not any(one["name"] == "pretrain" and one["code"] == 0 for one in self.state.attempts):
            data = ["--data", "photodigits", "--data-option", "renders=1", "--data-option", "correlation=0.5"]
            network = ["--architecture-option", f"widths={self.plan.widths}", *self._settings(self.plan.epochs[0])]
            self._give(0, "pretrain", ["pretrain", "--name", NAME, *data, *network], (0,))

    def serve(self, number: int) -> None:
        """One request: recorded, served by a version, audited, and the version promoted or refused."""
        fate, before = self._rng(number, 99).random(), self.state.step
        if before == 0 and fate < dict(self.plan.shares)[RESTARTED]:
            self.server.restart()
            self._note(number, {"name": "", "code": 0, "disturbance": RESTARTED})
        for step, name in list(enumerate(("add", self._line(number), "audit", "promote")))[before:]:
            self._step(number, step, name)
            self.state.step = step + 1
            self._store()
        usage = self.server.usage()
        promoted = next(one["code"] for one in reversed(self.state.attempts) if one["name"] == "promote") == 0
        self.state.requests.append({
            "line": self._line(number), "version": self.state.version, "promoted": promoted,
            "handles": usage.handles, "memory": usage.memory, "stored": self.server.stored_bytes(),
        })  # fmt: skip
        self.state.step = 0
        self._store()
        self._report(number)
        if number % self.plan.check_every == 0 or number == self.plan.requests:
            self.check()

    def check(self) -> None:
        """Compare the store with what was asked for, and ask ``verify``."""
        expected, number = self._expected(), len(self.state.requests)
        done = run_command(self.place, ["verify", "--model", NAME], fresh=True)
        self._note(number, _described("verify", done, True))
        found = [] if done.code == 0 else [f"verify ended with exit code {done.code}: {_tail(done)}"]
        found += find_defects(call(self.place, read_facts, NAME, expected), expected)
        self.state.checks.append({"after": number, "found": found})
        self.state.problems += [f"after request {number}: {line}" for line in found]
        self._store()
        self.say(f"check after {number} requests: {'; '.join(found) or 'all as asked for'}")

    def close(self) -> None:
        """Stop the server and store what was done."""
        self.server.kill()
        self._store()

    @property
    def interrupted(self) -> bool:
        """Whether a request was begun and not finished: its list lies there."""
        return (self.folder / "lists" / f"{len(self.state.requests) + 1}.csv").is_file()

    def _line(self, number: int) -> str:
        return "retrain" if number % 2 == 0 else "unlearn"

    def _step(self, number: int, step: int, name: str) -> None:
        """One command of a request, given until it ends as it should."""
        version = f"{NAME}/{self.state.version}"
        promotes = (0, 1, 3) if self._line(number) == "retrain" else (1, 3)
        lines: dict[str, list[str]] = {
            "add": ["requests", "add", "--model", NAME, "--forget", f"lists/{number}.csv"],
            "unlearn": ["unlearn", "--model", NAME, "--requests", "pending"],
            "retrain": ["retrain", "--model", NAME, "--requests", "pending", *self._settings(self.plan.epochs[1])],
            "audit": ["audit", "--model", version, "--out", f"reports/{number}"],
            "promote": ["promote", "--model", version],
        }
        if name == "add":
            (self.folder / "lists").mkdir(exist_ok=True)
            rows = "".join(f"{one},R-{number}\n" for one in self._asked(number))
            write_atomic(self.folder / "lists" / f"{number}.csv", f"id,request_id\n{rows}".encode())
        done = self._give(number, name, lines[name], WANTED.get(name, promotes), self._disturbance(number, step))
        if name in ("unlearn", "retrain"):
            self.state.version = done.out.split()[0].partition("/")[2]

    def _give(self, number: int, name: str, line: Sequence[str], wanted: Sequence[int], disturbance: str = "") -> Done:
        """Give a command, disturbed once if so decided, then again until it ends as it should."""
        if disturbance:
            done = self._disturbed(number, name, line, disturbance)
            if done.code in wanted:
                return done
            if done.code not in (-9, 4) and not (name == "promote" and done.code in (1, 3)):
                self._problem(number, f"{disturbance}: {name} ended with exit code {done.code}: {_tail(done)}")
        done = self._once(number, name, line)
        if done.code == 6 and "--resume" in done.err:
            self._once(number, "promote --resume", ["promote", "--model", NAME, "--resume"])
            done = self._once(number, name, line)
        if done.code not in wanted:
            self._problem(number, f"{name} ended with exit code {done.code}: {_tail(done)}")
            raise StoppedError(self.state.problems[-1])
        return done

    def _disturbed(self, number: int, name: str, line: Sequence[str], kind: str) -> Done:
        usual = [one["seconds"] for one in self.state.attempts if one["name"] == name and one["fresh"] == self._fresh(number)]
        rng = self._rng(number, 98)
        moment, size = rng.random() * (median(usual) if usual else 4.0), int(rng.choice(SMALL_FILES))
        happen: dict[str, Callable[[int], None]] = {
            KILLED: kill_group,
            SERVER_KILLED: lambda group: self.server.restart(),
            NO_SPACE_ON_SERVER: lambda group: self.server.limit_files(max(size, self.server.database.stat().st_size)),
        }
        during = Disturbance(moment, happen[kind]) if kind in happen else None
        done = self._once(number, name, line, kind, during, size if kind == NO_SPACE else None)
        if kind == NO_SPACE_ON_SERVER:
            self.server.limit_files(None)
        return done

    def _once(
        self,
        number: int,
        name: str,
        line: Sequence[str],
        kind: str = "",
        during: Disturbance | None = None,
        size: int | None = None,
    ) -> Done:
        fresh = self._fresh(number)
        done = run_command(self.place, line, fresh=fresh, disturbance=during, largest_file=size)
        self._note(number, {**_described(name, done, fresh), "disturbance": kind if done.disturbed or size is not None else ""})
        if "Traceback (most recent call last)" in done.err:
            self._problem(number, f"{name} printed a traceback: {_tail(done)}")
        return done

    def _disturbance(self, number: int, step: int) -> str:
        """What happens to a command; empty: nothing."""
        drawn = self._rng(number, step).random()
        for kind, share in self.plan.shares:
            if kind != RESTARTED:
                if drawn < share:
                    return kind
                drawn -= share
        return ""

    def _settings(self, epochs: int) -> list[str]:
        return [word for one in (f"epochs={epochs}", *self.plan.settings) for word in ("--set", one)]

    def _rng(self, number: int, step: int) -> np.random.Generator:
        return np.random.default_rng([self.plan.seed, number, step])

    def _fresh(self, number: int) -> bool:
        return number > 0 and (number - 1) // 2 % self.plan.fresh_every == self.plan.fresh_every - 1

    def _asked(self, number: int) -> list[str]:
        start = sum(self.sizes[: number - 1])
        return self.order[start : start + self.sizes[number - 1]]

    def _expected(self) -> Expected:
        done = self.state.requests
        promoted = [number for number, one in enumerate(done, 1) if one["promoted"]]
        served = range(1, (promoted[-1] if promoted else 0) + 1)
        asked = {f"R-{number}": self._asked(number) for number in range(1, len(done) + 1)}
        versions = tuple(done[number - 1]["version"] for number in promoted)
        return Expected(asked, frozenset(f"R-{number}" for number in served), versions)

    def _note(self, number: int, attempt: dict[str, Any]) -> None:
        self.state.attempts.append({"request": number, **attempt})

    def _problem(self, number: int, text: str) -> None:
        self.state.problems.append(f"request {number}: {text}")
        self.say(self.state.problems[-1])
        self._store()

    def _store(self) -> None:
        now = time.monotonic()
        self.state.seconds, self.begun = self.state.seconds + now - self.begun, now
        self.state.server_seconds = self.server.cpu_seconds()
        write_atomic(self.folder / STATE, canonical_json(asdict(self.state)))

    def _report(self, number: int) -> None:
        own = [one for one in self.state.attempts if one["request"] == number]
        happened = [f"{one['name']}: {one['disturbance']} ({one['code']})" for one in own if one["disturbance"]]
        last = self.state.requests[-1]
        ending = "champion" if last["promoted"] else "refused"
        cpu, others = sum(one.get("cpu", 0.0) for one in own), "".join(f"; {one}" for one in happened)
        self.say(f"request {number}: {last['line']} {NAME}/{last['version']} {ending}, {cpu:.0f} s CPU{others}")


def training_ids() -> list[str]:
    """Ids of the training rows."""
    from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits

    frame = photodigits(PhotoDigitsOptions(renders=1, correlation=0.5)).frame
    return sorted(frame["id"][frame["split"] == "train"])


def say_on_stderr(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _described(name: str, done: Done, fresh: bool) -> dict[str, Any]:
    numbers = {"seconds": round(done.seconds, 2), "cpu": round(done.cpu, 2), "memory": done.memory}
    return {"name": name, "code": done.code, "fresh": fresh, "disturbance": "", **numbers}


def _tail(done: Done) -> str:
    return " ".join(done.err.split())[-400:]
