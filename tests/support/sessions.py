"""Sessions with a store in memory."""

from __future__ import annotations

from pathlib import Path

from support.memory_store import MemoryStore

from grmu_audit.workflows.session import Session


def open_session(store: MemoryStore, root: Path) -> Session:
    session = Session(root=root, device="cpu")
    session.store = store  # type: ignore[misc]
    return session
