"""Requests as runs store them: pseudonyms and counts, and one erasure record for each request id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.records import Group, GroupCount, ModelRef
from grmu_audit.records.lineage import ErasureRecord, SystemRecord
from grmu_audit.tracking.names import ERASURE, REQUEST
from grmu_audit.tracking.registration import version_artifact
from grmu_audit.tracking.store import Store
from grmu_audit.utils import sha256_hex

UNNAMED = "unnamed"
"""Request id of rows that have none."""


@dataclass(frozen=True)
class StoredRequest:
    """A request as read back from a run: no id in it."""

    digest: str
    """Keyed digest of the forget set, the union of all requests of the lineage."""
    pseudonyms: frozenset[str]
    """Pseudonyms of the forget set."""
    dominant_groups: tuple[Group, ...]
    """Dominant forget group(s): those with the largest share of the forget set."""
    groups: tuple[GroupCount, ...]
    """Group table."""
    provenance: dict[str, object]
    """How the list was created."""
    withheld: frozenset[str] = frozenset()
    """Pseudonyms of validation and test rows that requests of the lineage name: no evaluation may use them."""
    sha256: str = ""
    """SHA-256 of the record's bytes."""
    parts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Pseudonyms of the training rows of each request that was served together with others, by request id."""


def read_request_record(store: Store, ref: ModelRef) -> StoredRequest:
    """The request that a version was created for.

    Raises:
        InputError: the version was not created for a request.
        IntegrityError: what is stored is missing or damaged.
    """
    if not ref.forget_digest or not ref.run_id:
        raise InputError(f"{ref.label} was created without a forget request")
    data = version_artifact(store, ref, REQUEST) or b""
    try:
        tree = json.loads(data)
        stored = StoredRequest(
            digest=str(tree["digest"]),
            pseudonyms=frozenset(map(str, tree["pseudonyms"])),
            dominant_groups=tuple(Group(int(t), int(a)) for t, a in tree["dominant_groups"]),
            groups=tuple(GroupCount(**{**row, "group": Group(*row["group"])}) for row in tree["groups"]),
            provenance={key: value for key, value in dict(tree["made"]).items() if key != "seed"},  # it gives a sampled list back
            withheld=frozenset(map(str, tree.get("withheld", ()))),
            sha256=sha256_hex(data),
            parts={str(name): frozenset(map(str, rows)) for name, rows in tree.get("parts", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{REQUEST} of {ref.label} is missing or damaged ({type(error).__name__})") from None
    if stored.digest != ref.forget_digest:
        raise IntegrityError(f"{REQUEST} of {ref.label} belongs to another forget set than the version's tag says")
    return stored


def erasure_record(row: Mapping[str, Any]) -> ErasureRecord:
    """An erasure record from its JSON."""
    return ErasureRecord(**{**row, "systems": tuple(SystemRecord(**system) for system in row["systems"])})


def read_erasure_records(store: Store, ref: ModelRef) -> list[ErasureRecord]:
    """The erasure records of a version's run; none where it serves no forget list.

    Raises:
        IntegrityError: they are damaged, or not those that were there at registration.
    """
    content = version_artifact(store, ref, ERASURE)
    if content is None:
        return []
    try:
        rows: list[dict[str, Any]] = json.loads(content)["records"]
        return [erasure_record(row) for row in rows]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{ERASURE} of {ref.label} is damaged ({type(error).__name__})") from None
