"""Forget requests: sampled, read, checked, and stored without a single id."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grmu_audit.auditing.request_advice import RequestFacts, advise
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.forget import (
    ForgetList,
    ForgetSampling,
    Forgotten,
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
    with_deleted,
    with_whole_subjects,
    write_forget_list,
)
from grmu_audit.errors import InputError
from grmu_audit.evidence import KEY_FILE_VARIABLE, key_check, key_path, pseudonyms
from grmu_audit.evidence.ledger import Ledger
from grmu_audit.records import ForgetRequest, Group, GroupCount, ModelRef, Splits
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.references import lineage_root
from grmu_audit.tracking.requests import UNNAMED, Lineages, StoredRequest
from grmu_audit.workflows.session import Session

SIDECAR_FIELDS = ("how", "groups", "ratio", "dataset")
"""Fields of a sidecar that may be shown; with its seed, anyone who has the data would sample the same list again."""


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
    withheld: tuple[str, ...]
    """Pseudonyms of validation and test rows that requests of the lineage name: nothing is evaluated on them."""
    served: tuple[int, ...]
    """Row numbers of the forget set that the version to start from was already made without."""
    parts: Mapping[str, tuple[str, ...]]
    """Pseudonyms of the training rows of each request, by request id, where the list holds several."""


def read_request(
    session: Session,
    path: Path | ForgetList,
    dataset: Dataset,
    parent: ModelRef,
    *,
    whole_subjects: bool = False,
) -> CheckedRequest:
    """Read and check a forget list against a dataset; what earlier requests of the lineage named remains in the forget set.

    Args:
        session: key, store, and the observer, which is told how many other rows of the same people there are.
        path: the list, or where it lies.
        dataset: what it is about.
        parent: the version to start from.
        whole_subjects: whether all rows of every subject that the list names a row of are taken.

    Raises:
        InputError: the operator's key is not the one that the lineage's pseudonyms were created with, or the sidecar is damaged.
        ForgetListError: every defect with its row number.
    """
    header = dataset.header
    forgotten = Forgotten(forgotten_ids(session, parent, dataset), tuple(row.name for row in dataset.deleted))
    given = path if isinstance(path, ForgetList) else read_forget_list(path)
    parsed = _by_rows(session, given, dataset, forgotten.ids, whole_subjects)
    request = check_forget_list(
        parsed,
        dataset.frame,
        session.key,
        forgotten=forgotten,
        class_names=header.class_names,
        attribute_names=header.attribute_names,
    )
    parts = split_rows(dataset.frame, request)
    table = group_table(dataset.frame, parts, header.class_names, header.attribute_names)
    table = with_deleted(table, [row.group for row in dataset.deleted_training])
    sidecar = None if isinstance(path, ForgetList) else read_sidecar(path)
    provenance = {k: v for k, v in (sidecar or {}).items() if k in SIDECAR_FIELDS}
    named = _named_groups(provenance.get("groups", []), path)
    if {(r.group.target, r.group.attribute) for r in table if r.forget} != {(g.target, g.attribute) for g in named}:
        named = []
    names, withheld = pseudonyms(session.key, request.forget_set), pseudonyms(session.key, request.withheld)
    names += [row.name for row in dataset.deleted_training]
    withheld += [row.name for row in dataset.deleted if row.split != "train"]
    if withheld:
        session.observer.note(f"{len(withheld)} ids are validation or test rows: no evaluation uses them from now on")
    groups = request_groups(table, named)
    served = _rows_named(dataset, forgotten.ids, parts.forget)
    return CheckedRequest(
        request, parts, table, groups, tuple(names), provenance, tuple(withheld), served, _parts(session, request)
    )


def _named_groups(pairs: Any, path: Path | ForgetList) -> list[Group]:
    """The groups that a sidecar names.

    Raises:
        InputError: they are not pairs of numbers.
    """
    try:
        return [Group(int(target), int(attribute)) for target, attribute in pairs]
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"the groups in the sidecar of {path} are not pairs of numbers: restore it, or remove it") from None


def _rows_named(dataset: Dataset, ids: Collection[str], among: Collection[int]) -> tuple[int, ...]:
    """The rows among some whose ids are given."""
    named, every = frozenset(ids), dataset.frame["id"].to_numpy()
    return tuple(row for row in among if every[row] in named)


def _parts(session: Session, request: ForgetRequest) -> dict[str, tuple[str, ...]]:
    """The training rows of each request id; empty where the list has one or none."""
    column, training = request.columns.get("request_id", ()), set(request.forget_set)
    found: dict[str, list[str]] = {}
    for name, text in zip(request.ids, column, strict=False):
        if name in training:
            found.setdefault(text or UNNAMED, []).append(name)
    return {text: tuple(pseudonyms(session.key, ids)) for text, ids in found.items()} if len(found) > 1 else {}


def _by_rows(
    session: Session, parsed: ForgetList, dataset: Dataset, forgotten: Collection[str], whole_subjects: bool
) -> ForgetList:
    """The list with one id a row; rows of the same people that neither it nor an earlier request names are counted in a note."""
    name = dataset.header.subject_name
    parsed = rows_of_subjects(parsed, dataset.frame, name)
    if not name:
        if whole_subjects:
            raise InputError(f"{dataset.header.name} has no subjects: --whole-subjects does not apply")
        return parsed
    found, others = with_whole_subjects(parsed, dataset.frame, forgotten, take=whole_subjects)
    if others:
        session.observer.note(
            f"warning: the list leaves out {others} other rows of the same subjects ({name}), which stay in use:"
            " --whole-subjects takes them all"
        )
    return found


def advice_on_request(
    session: Session, request: CheckedRequest, dataset: Dataset, parent: ModelRef, option: str
) -> tuple[str, ...]:
    """Sentences on whether an audit can show the forgetting of a request, and on what would help, before anything is trained.

    Args:
        session: the store, whose retrained versions of the same forget set are counted.
        request: the request.
        dataset: its data.
        parent: the version that would be unlearned.
        option: the command line option that names the list or the requests.
    """
    same = [
        ref
        for ref in session.store.versions(parent.name, "retrain")
        if (ref.forget_digest, ref.data_digest) == (request.forget.forget_digest, dataset.identity)
    ]
    seconds = lineage_root(session.store, parent).config.get("seconds")
    people = dataset.frame["subject"].to_numpy()[list(request.splits.forget)]
    facts = RequestFacts(
        people=len(set(people.tolist())),
        groups=request.groups,
        references=len(same),
        retrain_line=f"grmu-audit retrain --model {parent.label} {option}",
        cost=f"about {float(seconds):,.0f} s of training" if isinstance(seconds, int | float) and seconds > 0 else "",
    )
    return advise(facts)


def require_key_of_model(session: Session, name: str) -> None:
    """Return when the operator's key may be used for a version of a model, or there is no store yet: called before any work.

    Raises:
        InputError: its newest version was created with another key, or there is no key and the store has pseudonyms.
    """
    if not session.store_exists:
        return
    versions = session.store.versions(name)
    if versions:
        session.require_key(versions[-1])
    else:  # no key is created where the store's pseudonyms have another
        require_key_of_ledger(session, read_ledger(session.store, name))


def require_key_of_ledger(session: Session, ledger: Ledger) -> None:
    """Return when the operator's key is the one that a ledger names, or it names none.

    Raises:
        InputError: it is another, or there is no key and the store has pseudonyms.
    """
    if ledger.key_check not in (None, key_check(session.key)):
        raise InputError(
            f"requests of {ledger.model} were recorded with another key than the one in {key_path()}: point {KEY_FILE_VARIABLE}"
            " at the key that they were recorded with"
        )


def request_artifact(request: CheckedRequest) -> dict[str, Any]:
    """What a run stores of a request."""
    return {
        "schema": "grmu-audit/request/v1",
        "digest": request.forget.forget_digest,
        "count": len(request.pseudonyms),
        "request": {"digest": request.forget.digest, "count": len(request.forget.ids), "repeated": request.forget.repeated},
        "pseudonyms": sorted(request.pseudonyms),
        **({"withheld": sorted(request.withheld)} if request.withheld else {}),
        **({"parts": {name: sorted(rows) for name, rows in request.parts.items()}} if request.parts else {}),
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
        InputError: the version was not created for a request, or its key was lost.
        IntegrityError: what is stored is missing or damaged.
    """
    lineages = Lineages(session.store)
    rekeyed = lineages.rekeyed(ref.name).get(ref.version)
    if rekeyed is not None and rekeyed.more:
        raise InputError(f"the key of {ref.label} was lost: which rows were its own, among those of later requests, is not known")
    return lineages.record(ref)


def forgotten_ids(session: Session, ref: ModelRef, dataset: Dataset) -> tuple[str, ...]:
    """Ids of the data that the requests of a version and its ancestors named, in manifest order.

    Raises:
        InputError: the operator's key is not the one that the lineage's pseudonyms were created with.
        IntegrityError: a stored request is missing or damaged.
    """
    lineages = Lineages(session.store)
    session.require_key(*lineages.line(ref))
    present = lineages.forgotten(ref) - {row.name for row in dataset.deleted}
    return earlier_ids(dataset.frame, session.key, present) if present else ()


def sample_forget_list(dataset: Dataset, out: Path, sampling: ForgetSampling, forgotten: Collection[str] = ()) -> int:
    """Sample a forget set from the training split, without ids that were forgotten already, and write it with its sidecar.

    Returns:
        Its size.

    Raises:
        InputError: none or several ways to sample, nothing to sample from, or a ratio outside (0, 1].
        ForgetListError: the sample would empty the training set, a class or a group.
    """
    ids = sample_forget(dataset, sampling, forgotten)
    write_forget_list(out, ids, describe_sampling(dataset, sampling))
    return len(ids)
