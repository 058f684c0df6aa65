"""Bundles that were given away, as far as the ledger knows: they hold outputs that no purge reaches."""

from __future__ import annotations

from pathlib import Path

from grmu_audit.errors import EnvironmentFailure
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.ledger import append_entry
from grmu_audit.utils.clock import timestamp
from grmu_audit.workflows.session import Session


def record_export(session: Session, ref: ModelRef, path: Path, sha256: str) -> None:
    """Enter the name and the digest of an internal bundle in the ledger; who may only read is told that it is not known there."""
    ledger = read_ledger(session.store, ref.name)
    said = {"actor": session.actor, "time": timestamp()}
    entry = ledger.new_entry("export", record_sha256=sha256, reason=f"{path.name} of {ref.label}", **said)
    try:
        append_entry(session.store, entry, ref)
    except EnvironmentFailure as error:
        session.observer.note(f"the ledger does not know of {path}: 'requests impact' will not list it ({error})")
