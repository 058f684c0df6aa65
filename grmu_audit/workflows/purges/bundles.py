"""Records of exported bundles in the ledger: they hold outputs that no purge reaches."""

from __future__ import annotations

from pathlib import Path

from grmu_audit.errors import EnvironmentFailure
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.ledger import append_entry
from grmu_audit.utils.clock import timestamp
from grmu_audit.workflows.session import Session


def record_export(session: Session, ref: ModelRef, path: Path, sha256: str) -> None:
    """Enter name and digest of an internal bundle in the ledger; where that cannot be written, a note says so."""
    ledger = read_ledger(session.store, ref.name)
    said = {"actor": session.actor, "time": timestamp()}
    entry = ledger.new_entry("export", record_sha256=sha256, reason=f"{path.name} of {ref.label}", **said)
    try:
        append_entry(session.store, entry, ref)
    except EnvironmentFailure as error:
        session.observer.note(f"{path} was not entered in the ledger: 'requests impact' will not list it ({error})")
