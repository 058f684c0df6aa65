"""The promotion ledger in a store: the entries of ``evidence.ledger`` as versions of the registered model ``<name>--ledger``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from grmu_audit.errors import IntegrityError
from grmu_audit.evidence.ledger import TAG_ENTRY_SHA256, Entry, Ledger, LedgerEntry, check_ledger
from grmu_audit.records import ModelRef
from grmu_audit.tracking import names
from grmu_audit.tracking.read_once import ReadOnce
from grmu_audit.tracking.references import check_name
from grmu_audit.tracking.store import LogEntry, Store


def log_name(model: str) -> str:
    """The registered model that holds the ledger.

    >>> log_name("celeba-v3")
    'celeba-v3--ledger'
    """
    return check_name(model) + names.LEDGER_SUFFIX


def read_ledger(store: Store, model: str) -> Ledger:
    """All entries, checked: numbers without gaps, digests, model names, chain.

    Raises:
        IntegrityError: an entry is missing, edited or forged; the message names each one.
    """
    return store.once(("ledger", model), partial(_read, store), model) if isinstance(store, ReadOnce) else _read(store, model)


def _read(store: Store, model: str) -> Ledger:
    entries, defects = inspect_ledger(model, store.entries(log_name(model)))
    if defects:
        raise IntegrityError(f"the ledger of {model} is damaged: {'; '.join(defects)}")
    ledger = Ledger(model, entries)
    return ledger if ledger.last_unbound is not None else replace(ledger, unbound=_newest(store, model))


def _newest(store: Store, model: str) -> int:
    """Number of the newest version; 0 for none."""
    return max((int(ref.version) for ref in store.versions(model)), default=0)


def inspect_ledger(model: str, stored: list[LogEntry]) -> tuple[tuple[LedgerEntry, ...], list[str]]:
    """The readable entries, and every defect found."""
    return check_ledger(model, [(item.number, item.tags) for item in stored])


def append_entry(store: Store, entry: Entry, subject: ModelRef) -> LedgerEntry:
    """Write an entry to the store, with the account that writes it."""
    entry = replace(entry, account=store.account)
    tags = entry.to_tags()
    return LedgerEntry(store.append(log_name(entry.model), tags, subject), tags[TAG_ENTRY_SHA256], entry)
