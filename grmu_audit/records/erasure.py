"""The erasure record: what a request asked, by when it must be answered, where the data lies, and when it was answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SystemRecord:
    """One place where the data of a request may lie."""

    name: str
    """Its name, such as ``training store`` or ``backups``."""
    state: str
    """``erased``, ``scheduled`` or ``retained``."""
    reason: str = ""
    """Why it is retained, or when it is scheduled."""


@dataclass(frozen=True)
class ErasureRecord:
    """One request among those that a run serves; it holds no sample id."""

    request_id: str
    """Id of the request, as the operator gave it; ``unnamed`` for rows without one."""
    rows: int
    """Samples that it names."""
    digest: str
    """Keyed digest of those samples."""
    subject: str | None = None
    """Keyed pseudonym of the person; None where the list does not say."""
    received_at: str | None = None
    """Date of receipt, ISO 8601; the earliest of its rows."""
    due_at: str | None = None
    """One month after receipt; None where the date of receipt is unknown."""
    ground: str | None = None
    """Ground as the operator gave it."""
    systems: tuple[SystemRecord, ...] = ()
    """Where else the data lies, from the operator's list."""
