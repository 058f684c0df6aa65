"""Requests and rows of earlier versions under another key, as 'keys rotate' records them beside the runs' own records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grmu_audit.errors import IntegrityError
from grmu_audit.evidence.ledger import Entry
from grmu_audit.records import ModelRef
from grmu_audit.tracking.ledger import read_ledger
from grmu_audit.tracking.names import REKEYED
from grmu_audit.tracking.store import Store
from grmu_audit.utils import canonical_json, sha256_hex


@dataclass(frozen=True)
class Rekeyed:
    """A version's request under another key than its own record."""

    digest: str
    """Keyed digest of the forget set."""
    pseudonyms: frozenset[str]
    """Pseudonyms of the forget set."""
    more: bool
    """Whether they hold more rows than the version's own forget set: its key was lost, and only a later union was known."""
    key_check: str = ""
    """Check value of the key."""
    withheld: frozenset[str] = frozenset()
    """Pseudonyms of validation and test rows that no evaluation may use."""


def read_rekeyed(store: Store, name: str) -> dict[str, Rekeyed]:
    """Requests of a model's versions under its present key, by version.

    Raises:
        IntegrityError: a record is not the one that the ledger names.
    """
    found: dict[str, Rekeyed] = {}
    for entry in (n.entry for n in read_ledger(store, name).entries if n.entry.kind == "key" and n.entry.rekeyed_run):
        for version, row in _rekeyed_record(store, entry)["requests"].items():
            rows, withheld = frozenset(row["pseudonyms"]), frozenset(row.get("withheld", ()))
            found[version] = Rekeyed(str(row["digest"]), rows, bool(row["more"]), str(entry.key_check), withheld)
    return found


def _rekeyed_record(store: Store, entry: Entry) -> dict[str, Any]:
    content = store.run_artifact(str(entry.rekeyed_run), REKEYED) or b""
    if sha256_hex(content) != entry.rekeyed_sha256:
        raise IntegrityError(f"{REKEYED} of {entry.model} is gone or is not the record that the ledger names: restore it")
    tree: dict[str, Any] = json.loads(content)
    return tree


def rekeyed_pending(store: Store, entry: Entry) -> dict[str, tuple[str, frozenset[str]]]:
    """Digest and pseudonyms of the requests that waited when the key was changed, by request id.

    Raises:
        IntegrityError: the record is not the one that the ledger names.
    """
    waiting = _rekeyed_record(store, entry).get("pending", {})
    return {name: (str(row["digest"]), frozenset(row["pseudonyms"])) for name, row in waiting.items()}


def rekeyed_rows(store: Store, ref: ModelRef, check: str) -> bytes | None:
    """The rows of a version's data under the key of that check value, as 'keys rotate' recorded them; None where it did not.

    Raises:
        IntegrityError: the record is not the one that the ledger names.
    """
    for entry in (n.entry for n in reversed(read_ledger(store, ref.name).entries) if n.entry.kind == "key"):
        if entry.rekeyed_run and entry.key_check == check:
            wanted = _rekeyed_record(store, entry)["rows"].get(str(ref.data_digest))
            content = store.run_artifact(entry.rekeyed_run, rows_artifact(str(ref.data_digest))) if wanted else None
            if wanted and (content is None or sha256_hex(content) != wanted):
                raise IntegrityError(f"the rows of {ref.label} under the present key are not those that the ledger names")
            if content is not None:
                return content
    return None


def rows_artifact(data_digest: str) -> str:
    """Artifact of a run of ``keys rotate``: the rows of the data of that digest.

    >>> rows_artifact("00ff")
    'rows/00ff.zip'
    """
    return f"rows/{data_digest}.zip"


def rekeyed_artifact(
    requests: Mapping[str, Rekeyed], rows: Mapping[str, str], pending: Mapping[str, tuple[str, frozenset[str]]]
) -> bytes:
    """The content of a record of requests under a new key.

    Args:
        requests: by version.
        rows: SHA-256 of the rows' record by digest of the data.
        pending: of requests that wait, digest and pseudonyms by request id.
    """
    waiting = {name: {"digest": digest, "pseudonyms": sorted(names)} for name, (digest, names) in pending.items()}
    lines = {
        version: {"digest": one.digest, "pseudonyms": sorted(one.pseudonyms), "more": one.more}
        | ({"withheld": sorted(one.withheld)} if one.withheld else {})
        for version, one in requests.items()
    }
    return canonical_json({"schema": "grmu-audit/rekeyed/v1", "requests": lines, "rows": dict(rows), "pending": waiting})
