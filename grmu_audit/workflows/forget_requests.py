"""Forget requests: sampled, read, checked, and stored without a single id."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grmu_audit.data.dataset import Dataset
from grmu_audit.data.forget import (
    ForgetList,
    ForgetSampling,
    check_forget_list,
    describe_sampling,
    earlier_ids,
    group_table,
    read_forget_list,
    read_sidecar,
    request_groups,
    rows_of_subjects,
    sample_forget,
    split_rows,
    with_whole_subjects,
    write_forget_list,
)
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence import pseudonyms
from grmu_audit.records import ForgetRequest, Group, GroupCount, ModelRef, Splits
from grmu_audit.tracking.names import REQUEST
from grmu_audit.workflows.session import Session

SIDECAR_FIELDS = ("how", "groups", "ratio", "seed", "dataset")
"""Fields of a sidecar that may be shown."""


@dataclass(frozen=True)
class CheckedRequest:
    """A forget list that fits its dataset, with what follows from it."""

    forget: ForgetRequest
    """Ids and digest; only in memory."""
    splits: Splits
    """Row numbers by role."""
    groups: tuple[GroupCount, ...]
    """Group table."""
    dominant_groups: tuple[Group, ...]
    """Dominant forget group(s): those with the largest share of the forget set."""
    pseudonyms: tuple[str, ...]
    """Pseudonyms of the forget set: of this request and of all earlier ones of the lineage."""
    provenance: dict[str, object]
    """How the list was created, from its sidecar."""
    withheld: tuple[str, ...] = ()
    """Pseudonyms of validation and test rows that requests of the lineage name: nothing is evaluated on them."""


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
    """Pseudonyms of validation and test rows that no evaluation may use."""


def read_request(
    session: Session, path: Path, dataset: Dataset, parent: ModelRef | None = None, *, whole_subjects: bool = False
) -> CheckedRequest:
    """Read and check a forget list against a dataset; what earlier requests of the lineage named remains in the forget set.

    Args:
        session: key, store, and whom rows of the same people that the list does not name are told to.
        path: the list.
        dataset: what it is about.
        parent: the version to start from.
        whole_subjects: whether all rows of every subject that the list names a row of are taken.

    Raises:
        InputError: the operator's key is not the one that the lineage's pseudonyms were created with.
        ForgetListError: every defect with its row number.
    """
    header = dataset.header
    parsed = _by_rows(session, read_forget_list(path), dataset, whole_subjects)
    request = check_forget_list(
        parsed,
        dataset.frame,
        session.key,
        earlier=earlier_ids(dataset.frame, session.key, _forgotten(session, parent)),
        class_names=header.class_names,
        attribute_names=header.attribute_names,
    )
    parts = split_rows(dataset.frame, request)
    table = group_table(dataset.frame, parts, header.class_names, header.attribute_names)
    provenance = {k: v for k, v in (read_sidecar(path) or {}).items() if k in SIDECAR_FIELDS}
    named = [Group(int(t), int(a)) for t, a in provenance.get("groups", [])]  # type: ignore[attr-defined]
    if {(r.group.target, r.group.attribute) for r in table if r.forget} != {(g.target, g.attribute) for g in named}:
        named = []
    names = tuple(pseudonyms(session.key, request.forget_set))
    if request.withheld:
        session.observer.note(f"{len(request.withheld)} ids are validation or test rows: no evaluation uses them from now on")
    withheld = tuple(pseudonyms(session.key, request.withheld))
    return CheckedRequest(request, parts, table, request_groups(table, named), names, provenance, withheld)


def _by_rows(session: Session, parsed: ForgetList, dataset: Dataset, whole_subjects: bool) -> ForgetList:
    """The list with one id a row; rows of the same people that it leaves out are counted in a note."""
    name = dataset.header.subject_name
    parsed = rows_of_subjects(parsed, dataset.frame, name)
    if not name:
        if whole_subjects:
            raise InputError(f"{dataset.header.name} has no subjects: --whole-subjects does not apply")
        return parsed
    found, others = with_whole_subjects(parsed, dataset.frame, take=whole_subjects)
    if others:
        session.observer.note(
            f"warning: the list leaves out {others} other rows of the subjects that it names rows of ({name}), which"
            " the model goes on learning from: --whole-subjects takes them all"
        )
    return found


def require_key_of_model(session: Session, name: str) -> None:
    """Return when the versions of a model, if there are any, were created with the operator's key.

    Raises:
        InputError: the newest was created with another key.
    """
    versions = session.store.versions(name)
    if versions:
        session.require_key(versions[-1])


def _forgotten(session: Session, ref: ModelRef | None) -> frozenset[str]:
    """Pseudonyms of all requests that the version and its ancestors were created for.

    Raises:
        InputError: one of them was created with another key.
        IntegrityError: a stored request is missing or damaged.
    """
    forgotten: set[str] = set()
    while ref is not None:
        session.require_key(ref)
        if ref.forget_digest:
            stored = stored_request(session, ref)
            forgotten |= stored.pseudonyms | stored.withheld
        ref = session.store.resolve(ref.parent) if ref.parent else None
    return frozenset(forgotten)


def request_artifact(request: CheckedRequest) -> dict[str, Any]:
    """What a run stores of a request."""
    return {
        "schema": "grmu-audit/request/v1",
        "digest": request.forget.forget_digest,
        "count": len(request.pseudonyms),
        "request": {"digest": request.forget.digest, "count": len(request.forget.ids), "repeated": request.forget.repeated},
        "pseudonyms": sorted(request.pseudonyms),
        **({"withheld": sorted(request.withheld)} if request.withheld else {}),
        "dominant_groups": [[g.target, g.attribute] for g in request.dominant_groups],
        "groups": [
            {"group": [r.group.target, r.group.attribute], "name": r.name}
            | {part: getattr(r, part) for part in ("train", "retain", "forget", "val", "test")}
            for r in request.groups
        ],
        "made": request.provenance,
    }


def stored_request(session: Session, ref: ModelRef) -> StoredRequest:
    """The request that a version was created for.

    Raises:
        InputError: the version was not created for a request.
        IntegrityError: what is stored is missing or damaged.
    """
    if not ref.forget_digest or not ref.run_id:
        raise InputError(f"{ref.label} was created without a forget request")
    data = session.store.run_artifact(ref.run_id, REQUEST)
    try:
        tree = json.loads(data or b"")
        stored = StoredRequest(
            digest=str(tree["digest"]),
            pseudonyms=frozenset(map(str, tree["pseudonyms"])),
            dominant_groups=tuple(Group(int(t), int(a)) for t, a in tree["dominant_groups"]),
            groups=tuple(GroupCount(**{**row, "group": Group(*row["group"])}) for row in tree["groups"]),
            provenance=dict(tree["made"]),
            withheld=frozenset(map(str, tree.get("withheld", ()))),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{REQUEST} of {ref.label} is missing or damaged ({type(error).__name__})") from None
    if stored.digest != ref.forget_digest:
        raise IntegrityError(f"{REQUEST} of {ref.label} belongs to another forget set than the version's tag says")
    return stored


def sample_forget_list(dataset: Dataset, out: Path, sampling: ForgetSampling) -> int:
    """Sample a forget set from the training split and write it with its sidecar; returns its size.

    Raises:
        InputError: none or several ways to sample, nothing to sample from, or a ratio outside (0, 1].
        ForgetListError: the sample would empty the training set, a class or a group.
    """
    ids = sample_forget(dataset, sampling)
    write_forget_list(out, ids, describe_sampling(dataset, sampling))
    return len(ids)
