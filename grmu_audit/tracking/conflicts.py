"""The ways in which a move of the champion can be refused by what others did."""

from __future__ import annotations

from grmu_audit.errors import IntegrityError
from grmu_audit.tracking import ledger, names


def unfinished(name: str, turn: ledger.Numbered) -> IntegrityError:
    """A turn is open."""
    entry = turn.entry
    return IntegrityError(
        f"{entry.kind} of {name}/{entry.version} (ledger entry {turn.number}, {entry.actor}, {entry.time}) has begun and not"
        f" ended: wait for it, or if it crashed run 'grmu-audit promote --resume {name}'"
    )


def moved_by_hand(name: str, alias: str | None, champion: str | None) -> IntegrityError:
    """The alias is not where the ledger says."""
    return IntegrityError(
        f"the alias {names.CHAMPION!r} of {name} points at {_shown(name, alias)}, the ledger says {_shown(name, champion)}: it"
        " was moved by hand; put it back, then promote"
    )


def _shown(name: str, version: str | None) -> str:
    return f"{name}/{version}" if version is not None else "nothing"


def lost(name: str) -> IntegrityError:
    """Another process has, or had, the turn."""
    return IntegrityError(
        f"another promotion of {name} took the turn: nothing was changed; look at 'grmu-audit history {name}', then try again"
    )
