"""Erasure requests that no version was created for yet: pseudonyms in a run, bound by the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from grmu_audit.errors import IntegrityError
from grmu_audit.evidence.ledger import Ledger
from grmu_audit.records.lineage import ErasureRecord
from grmu_audit.tracking.names import PENDING
from grmu_audit.tracking.requests.records import erasure_record
from grmu_audit.tracking.requests.rekeyed import rekeyed_pending
from grmu_audit.tracking.store import Store
from grmu_audit.utils import canonical_json, sha256_hex

SCHEMA = "grmu-audit/pending/v1"
"""Schema name and version of a record."""


@dataclass(frozen=True)
class PendingRequest:
    """One request as it was received."""

    record: ErasureRecord
    """Its id, dates, ground, and keyed digest."""
    pseudonyms: frozenset[str]
    """Pseudonyms of the rows that it names."""
    key_check: str
    """Check value of the key that they were created with."""
    earlier: tuple[str, ...] = ()
    """Digests of its rows under earlier keys, by which a version that served it then is known."""


def pending_artifact(request: PendingRequest) -> bytes:
    """The record as the artifact of a run."""
    fields = {"record": asdict(request.record), "pseudonyms": sorted(request.pseudonyms), "key_check": request.key_check}
    return canonical_json({"schema": SCHEMA, **fields})


def received_requests(store: Store, ledger: Ledger) -> list[PendingRequest]:
    """Every request of a model that was recorded and not withdrawn, oldest first, whether or not it was served since.

    After ``keys rotate`` its pseudonyms are those under the new key, where the rotation could name its rows.

    Raises:
        IntegrityError: a record is gone, or is not the one that the ledger names.
    """
    found: dict[str, PendingRequest] = {}
    runs = {str(numbered.entry.run): (PENDING,) for numbered in ledger.entries if numbered.entry.kind == "request"}
    records = {run: kept[PENDING] for run, kept in store.artifacts_of_runs(runs)}
    for entry in (numbered.entry for numbered in ledger.entries):
        if entry.kind == "request":
            content = records[str(entry.run)] or b""
            if sha256_hex(content) != entry.record_sha256:
                raise IntegrityError(f"the record of request {entry.request!r} of {entry.model} is gone or changed: restore it")
            found[str(entry.request)] = _read(content)
        elif entry.kind == "withdrawal":
            found.pop(str(entry.request), None)
        elif entry.kind == "key" and entry.rekeyed_run:
            for name, (digest, rows) in rekeyed_pending(store, entry).items():
                if name in found:
                    found[name] = _rekeyed(found[name], digest, rows, str(entry.key_check))
    return list(found.values())


def _rekeyed(request: PendingRequest, digest: str, rows: frozenset[str], check: str) -> PendingRequest:
    """A request under another key."""
    earlier = (*request.earlier, request.record.digest)
    return PendingRequest(replace(request.record, digest=digest), rows, check, earlier)


def _read(content: bytes) -> PendingRequest:
    """A record whose digest the ledger names."""
    tree: dict[str, Any] = json.loads(content)
    return PendingRequest(erasure_record(tree["record"]), frozenset(tree["pseudonyms"]), str(tree["key_check"]))
