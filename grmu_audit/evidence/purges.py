"""Purges and legal holds of a model, as its ledger says: what was deleted on purpose, what is being deleted, what may not be.

A purge is two entries.  ``purge`` names the versions and the record of the files before anything is deleted, ``purged`` ends it
when nothing of them is left.  A process that dies in between leaves the purge open, which ``verify`` says until it is resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grmu_audit.errors import InconclusiveError
from grmu_audit.evidence.ledger import Entry, Ledger, LedgerEntry

WHOLE_MODEL = "*"
"""What a hold is about that names no request."""


@dataclass(frozen=True)
class PurgeState:
    """Purges of a model after all entries of its ledger."""

    open: LedgerEntry | None = None
    """The purge that has begun and not ended."""
    done: tuple[LedgerEntry, ...] = ()
    """Purges that ended, in order: their ``purge`` entries."""

    @property
    def begun(self) -> tuple[LedgerEntry, ...]:
        """All of them, the open one last."""
        return self.done if self.open is None else (*self.done, self.open)

    def of(self, version: str) -> LedgerEntry | None:
        """The first purge that names a version, open or ended; None: its files are to be there."""
        return next((step for step in self.begun if version in (step.entry.purged or ())), None)

    def before(self, version: str, number: int) -> bool:
        """Whether a purge names a version and was entered after the entry of that number, so that files of then may be gone."""
        return any(step.number > number and version in (step.entry.purged or ()) for step in self.begun)


def purge_state(ledger: Ledger) -> PurgeState:
    """Walk through the entries; of two purges that began at once the second has no effect."""
    open_step: LedgerEntry | None = None
    done, last = list[LedgerEntry](), 0
    for numbered in ledger.entries:
        entry = numbered.entry
        if entry.kind == "purge":
            if open_step is None and last <= entry.previous:
                open_step = numbered
            last = numbered.number
        elif open_step is not None and entry.turn == open_step.number and entry.kind in ("purged", "abandoned"):
            done += [open_step] if entry.kind == "purged" else []
            open_step = None
    return PurgeState(open_step, tuple(done))


def active_holds(ledger: Ledger) -> dict[str, Entry]:
    """Legal holds that were not released, by request id or ``WHOLE_MODEL``."""
    found: dict[str, Entry] = {}
    for entry in (numbered.entry for numbered in ledger.entries):
        if entry.kind == "hold":
            found[entry.request or WHOLE_MODEL] = entry
        elif entry.kind == "release":
            found.pop(entry.request or WHOLE_MODEL, None)
    return found


def require_not_purged(ledger: Ledger, versions: Sequence[str]) -> None:
    """Return when the files of these versions are to be there.

    Raises:
        InconclusiveError: one was purged, or is being purged.
    """
    state = purge_state(ledger)
    for version in versions:
        step = state.of(version)
        if step is not None:
            raise InconclusiveError(purged_words(ledger.model, version, step))


def purged_words(model: str, version: str, step: LedgerEntry) -> str:
    """What is said of a purged version."""
    day = step.entry.time.partition("T")[0]
    return f"{model}/{version} was purged (ledger entry {step.number}, {day}): its weights and outputs are deleted on purpose"
