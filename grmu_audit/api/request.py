"""Forget requests: sampled, read, checked, and stored without a single id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit.api.session import Session
from grmu_audit.data.forget import (
    check_forget_list,
    composition,
    dominant_groups,
    group_name,
    read_forget_list,
    read_sidecar,
    sample_forget,
    splits,
    write_forget_list,
)
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence import pseudonyms
from grmu_audit.records import ForgetRequest, Group, GroupCount, ModelRef, Splits

if TYPE_CHECKING:
    from grmu_audit.data.dataset import Dataset

REQUEST = "request.json"
"""Artifact of a run: the request as pseudonyms, counts and how it was made."""
SIDECAR_FIELDS = ("how", "groups", "ratio", "seed", "dataset")
"""Fields of a sidecar that may be shown."""


@dataclass(frozen=True)
class Request:
    """A checked request with what follows from it."""

    forget: ForgetRequest
    """Ids and digest; stays in memory."""
    splits: Splits
    """Row numbers by role."""
    groups: tuple[GroupCount, ...]
    """Group table."""
    dominant: tuple[Group, ...]
    """Group(s) that give the forget set."""
    names: tuple[str, ...]
    """Pseudonyms of the ids."""
    made: dict[str, object]
    """How the list was made, from its sidecar."""


@dataclass(frozen=True)
class StoredRequest:
    """A request as read back from a run: no id in it."""

    digest: str
    """Keyed digest of the forget set."""
    names: frozenset[str]
    """Pseudonyms of the forget set."""
    dominant: tuple[Group, ...]
    """Group(s) that give the forget set."""
    groups: tuple[GroupCount, ...]
    """Group table."""
    made: dict[str, object]
    """How the list was made."""


def read_request(session: Session, path: Path, dataset: Dataset, parent: ModelRef | None = None) -> Request:
    """Read and check a forget list against a dataset and against what the lineage has already forgotten.

    Raises:
        ForgetListError: every defect with its row number.
    """
    header = dataset.header
    request = check_forget_list(
        read_forget_list(path),
        dataset.frame,
        session.key,
        forgotten=_forgotten(session, parent),
        class_names=header.class_names,
        attribute_names=header.attribute_names,
    )
    parts = splits(dataset.frame, request)
    table = composition(dataset.frame, parts, header.class_names, header.attribute_names)
    made = {k: v for k, v in (read_sidecar(path) or {}).items() if k in SIDECAR_FIELDS}
    named = [Group(int(t), int(a)) for t, a in made.get("groups", [])]  # type: ignore[attr-defined]
    if {(r.group.target, r.group.attribute) for r in table if r.forget} != {(g.target, g.attribute) for g in named}:
        named = []
    return Request(request, parts, table, dominant_groups(table, named), tuple(pseudonyms(session.key, request.ids)), made)


def _forgotten(session: Session, ref: ModelRef | None) -> frozenset[str]:
    """Pseudonyms that the version and its ancestors have already forgotten."""
    gone: set[str] = set()
    while ref is not None:
        if ref.forget_digest:
            gone |= stored_request(session, ref).names
        ref = session.store.resolve(ref.parent) if ref.parent else None
    return frozenset(gone)


def request_artifact(request: Request) -> dict[str, Any]:
    """What a run stores of a request."""
    return {
        "schema": "grmu-audit/request/v1",
        "digest": request.forget.digest,
        "count": len(request.names),
        "pseudonyms": sorted(request.names),
        "dominant_groups": [[g.target, g.attribute] for g in request.dominant],
        "groups": [
            {"group": [r.group.target, r.group.attribute], "name": r.name}
            | {part: getattr(r, part) for part in ("train", "retain", "forget", "val", "test")}
            for r in request.groups
        ],
        "made": request.made,
    }


def stored_request(session: Session, ref: ModelRef) -> StoredRequest:
    """The request that a version was made for.

    Raises:
        InputError: the version was not made for a request.
        IntegrityError: what is stored is missing or damaged.
    """
    if not ref.forget_digest or not ref.run_id:
        raise InputError(f"{ref.label} was made without a forget request")
    data = session.store.run_artifact(ref.run_id, REQUEST)
    try:
        tree = json.loads(data or b"")
        stored = StoredRequest(
            digest=str(tree["digest"]),
            names=frozenset(map(str, tree["pseudonyms"])),
            dominant=tuple(Group(int(t), int(a)) for t, a in tree["dominant_groups"]),
            groups=tuple(GroupCount(**{**row, "group": Group(*row["group"])}) for row in tree["groups"]),
            made=dict(tree["made"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{REQUEST} of {ref.label} is missing or damaged ({type(error).__name__})") from None
    if stored.digest != ref.forget_digest:
        raise IntegrityError(f"{REQUEST} of {ref.label} belongs to another forget set than the version's tag says")
    return stored


def sample(session: Session, dataset: Dataset, out: Path, *, groups: Sequence[Group], ratio: float, seed: int) -> int:
    """Draw a forget set from groups of the training split and write it with its sidecar; returns its size.

    Raises:
        InputError: a group that does not exist, or a ratio outside (0, 1].
    """
    header = dataset.header
    ids = sample_forget(
        dataset.frame,
        groups=groups,
        ratio=ratio,
        seed=seed,
        class_names=header.class_names,
        attribute_names=header.attribute_names,
    )
    names = "; ".join(group_name(g, header.class_names, header.attribute_names) for g in groups)
    sidecar = {
        "how": f"{ratio:g} of the training samples of: {names}",
        "groups": [[g.target, g.attribute] for g in groups],
        "ratio": ratio,
        "seed": seed,
        "dataset": header.name,
        "dataset_sha256": dataset.digest,
    }
    write_forget_list(out, ids, sidecar)
    return len(ids)
