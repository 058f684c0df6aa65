"""How many honest histories raised no alarm, and how many edits were found: counted, stored, and gone on with."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.measurements.fuzz.cases import code_digest
from benchmarks.measurements.tampering.edits import every_edit, missed, verify_codes
from benchmarks.measurements.tampering.histories import honest_history
from benchmarks.measurements.tampering.stores import attacked_store, open_embedded, sqlite
from grmu_audit.utils import canonical_json, write_atomic

HISTORIES = 50
"""Histories that are wanted."""
_MODULES = ("tracking", "tracking.mlflow.store", "tracking.mlflow.environment")


@dataclass
class Trials:
    """What was done to stores, and what was said of it."""

    histories: int = 0
    """Honest histories, by seed from 0."""
    upgraded: int = 0
    """Those that began before registration records were kept."""
    deeds: dict[str, int] = field(default_factory=dict)
    """How often each thing was done in them."""
    verified: int = 0
    """How often ``verify`` was asked."""
    alarms: list[str] = field(default_factory=list)
    """What it found, although nothing was edited."""
    edits: dict[str, int] = field(default_factory=dict)
    """Edits of one store, by kind."""
    missed: list[str] = field(default_factory=list)
    """Edits that ``verify`` or ``promote`` did not find."""
    seconds: float = 0.0
    """CPU seconds."""
    code: str = ""
    """Digest of the code."""


def read_trials(path: Path) -> Trials:
    """The stored trials of the present code; empty where there are none."""
    code = code_digest(_MODULES, Path(__file__).parent)
    tree = json.loads(path.read_bytes()) if path.is_file() else {}
    return Trials(**tree) if tree.get("code") == code else Trials(code=code)


def run_trials(path: Path, histories: int, seconds: float) -> Trials:
    """Make every edit once, then histories until there are enough or the time is over; each is stored when it is done.

    Args:
        path: file of the trials.
        histories: how many are wanted in all.
        seconds: after that time no further one is begun.
    """
    found, end = read_trials(path), time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty"
        open_embedded(empty)
        while time.monotonic() < end and found.histories < histories:
            start = time.process_time()
            _add_history(found, Path(folder) / f"history-{found.histories}", empty)
            _store(path, found, start)
        if time.monotonic() < end and not found.edits:
            start = time.process_time()
            _make_edits(found, Path(folder) / "attacked", empty)
            _store(path, found, start)
    return found


def _add_history(found: Trials, root: Path, empty: Path) -> None:
    history = honest_history(root, empty, found.histories)
    found.histories += 1
    found.upgraded += "upgrade" in history.done
    found.deeds = dict(Counter(found.deeds) + Counter(history.done))
    found.verified += history.verified
    found.alarms += history.findings


def _make_edits(found: Trials, root: Path, empty: Path) -> None:
    attacked = attacked_store(open_embedded(root, empty), root, sqlite(root))
    assert verify_codes(attacked) == []
    edits = list(every_edit(attacked))
    found.missed = [line for edit in edits for line in missed(attacked, edit)]
    assert verify_codes(attacked) == [], "every edit was undone"
    found.edits = dict(Counter(edit.kind for edit in edits))


def _store(path: Path, found: Trials, start: float) -> None:
    found.seconds += time.process_time() - start
    write_atomic(path, canonical_json(asdict(found)))
