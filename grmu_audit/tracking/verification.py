"""Looking for what should not be: made for cron, and for the moment before a model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from grmu_audit.errors import EnvironmentFailure, GrmuAuditError, IntegrityError
from grmu_audit.tracking import ledger, names
from grmu_audit.tracking.audits import read_evidence, require_pass
from grmu_audit.tracking.conflicts import moved_by_hand, unfinished

if TYPE_CHECKING:
    from grmu_audit.tracking.base import Store


@dataclass(frozen=True)
class Finding:
    """One thing that ``verify`` found."""

    check: str
    """``ledger``, ``alias``, ``turn`` or ``evidence``."""
    message: str
    """What is wrong, and what to do."""
    error: GrmuAuditError
    """The same as an exception, with its exit code."""


def verify(store: Store, name: str, *, now: datetime | None = None) -> list[Finding]:
    """Everything that must hold between promotions; an empty list means that it does.

    Checks: the ledger's numbers, digests and chain; no turn left open; the alias points where the ledger says; the champion's
    audit, its digest, its verdict, its expiry, and the version's files.

    Raises:
        EnvironmentFailure: the store cannot be reached.
    """
    entries, defects = ledger.inspect_ledger(name, store.entries(ledger.log_name(name)))
    if defects:
        return [_finding("ledger", IntegrityError(f"the ledger of {name} is damaged: {defect}")) for defect in defects]
    state = ledger.replay(entries)
    findings = [_finding("turn", unfinished(name, state.open))] if state.open is not None else []
    alias = store.aliases(name).get(names.CHAMPION)
    if state.open is None and alias != state.champion:
        findings.append(_finding("alias", moved_by_hand(name, alias, state.champion)))
    if state.champion is None:
        return findings
    try:
        require_pass(read_evidence(store, store.resolve(f"{name}/{state.champion}")), now)
    except EnvironmentFailure:
        raise
    except GrmuAuditError as error:
        findings.append(_finding("evidence", error))
    return findings


def _finding(check: str, error: GrmuAuditError) -> Finding:
    return Finding(check, str(error), error)
