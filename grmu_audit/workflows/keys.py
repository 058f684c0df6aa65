"""Rotation of the key of the pseudonyms: requests of earlier versions are recorded again under the new key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grmu_audit.data.dataset import Dataset
from grmu_audit.data.forget import read_forget_list, rows_of_subjects
from grmu_audit.data.rows import row_table
from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence import key_check, key_exists, key_path, load_key, pseudonym, pseudonyms, set_digest
from grmu_audit.evidence.pseudonyms import next_key, replace_key
from grmu_audit.records import Group, ModelRef
from grmu_audit.tracking import read_ledger
from grmu_audit.tracking.ledger import append_entry
from grmu_audit.tracking.names import REKEYED
from grmu_audit.tracking.requests import Lineages, Rekeyed, StoredRequest, received_requests, rekeyed_artifact, rows_artifact
from grmu_audit.utils import sha256_hex
from grmu_audit.utils.clock import timestamp
from grmu_audit.workflows.session import Session, dataset_spec_of


@dataclass(frozen=True)
class Rotation:
    """A change of the key."""

    versions: dict[str, int]
    """How many versions' requests were recorded under the new key, by model."""
    kept: Path | None
    """Where the earlier key is kept; None where it was lost."""
    left: tuple[str, ...] = ()
    """Requests that wait and whose rows no data names, as ``model: request``: to be withdrawn, and added again."""


def rotate(session: Session) -> Rotation:
    """Replace the operator's key, where the present one is not lost.

    The records of runs stay as they are: they are evidence.  Every request of every model of the store is recorded again under
    the new key, in a run of its own whose digest the model's ledger names; then the key file is replaced.  After an interruption
    the same call goes on with the same new key.

    Raises:
        InputError: there is no key, or a model has pseudonyms of another.
        IntegrityError: the data of a version is not what it was trained on, or a stored record is damaged.
    """
    if not key_exists():
        raise InputError(f"there is no key in {key_path()} to rotate; if it is lost, give --model and --earlier-forget")
    old = session.key
    checks = key_check(old), key_check(next_key())
    named = [name for name in session.store.models() if session.store.versions(name) or _waiting(session, name)]
    open_models = [name for name in named if _present_check(session, name) not in (None, checks[1])]
    plans = {name: _rekeyed_all(session, name, (old, next_key())) for name in open_models}
    for name, plan in plans.items():
        _enter(session, name, plan, checks[1])
    kept = replace_key(checks[0])
    session.forget_key()
    left = tuple(f"{name}: {request}" for name, plan in plans.items() for request in plan.left)
    return Rotation({name: len(plan.requests) for name, plan in plans.items()}, kept, left)


def rekey_lost(session: Session, model: str, earlier: Path) -> Rotation:
    """Record the requests of a version and its lineage under the present key, where theirs was lost.

    The list must have as many training rows, by group too, as the version's record counts.  Ancestors, of whose own rows only
    the list as a whole is known, are recorded with all of it: what is trained or promoted later leaves out no less.

    Args:
        session: store; its key is created where there is none.
        model: reference of the newest version of the lineage.
        earlier: all ids of its requests, in clear.

    Raises:
        InputError: the version has no request or its key is not lost, or the list is not the one that was forgotten.
        ForgetListError: the list cannot be read.
        IntegrityError: the data is not what the version was trained on, or a stored record is damaged.
    """
    ref, lineages = session.store.resolve(model), Lineages(session.store)
    record, before = lineages.record(ref), lineages.rekeyed(ref.name).get(ref.version)
    if key_exists() and key_check(load_key()) == (before.key_check if before else ref.key_check):
        raise InputError(f"the pseudonyms of {ref.label} were created with the key in {key_path()}: it is not lost")
    dataset = session.dataset(dataset_spec_of(ref))
    if dataset.digest != ref.data_digest:
        raise IntegrityError(
            f"the data of {ref.label} was changed since, and without its key nothing shows how: restore the data"
        )
    ids, withheld_ids = _earlier_ids(earlier, dataset, record)
    key = load_key()
    check, now, withheld = key_check(key), frozenset(pseudonyms(key, ids)), frozenset(pseudonyms(key, withheld_ids))
    requests = {}
    for version in session.store.versions(ref.name):
        left_out = lineages.left_out(version)
        named, whole = left_out | lineages.withheld(version), record.pseudonyms | record.withheld
        if left_out and named <= whole:
            requests[version.version] = Rekeyed(set_digest(key, (*ids, *withheld_ids)), now, named != whole, withheld=withheld)
    _enter(session, ref.name, _Plan(requests, {dataset.digest: row_table(dataset, key).to_bytes()}), check)
    session.forget_key()
    return Rotation({ref.name: len(requests)}, None)


def _present_check(session: Session, name: str) -> str | None:
    """Check value of the key of a model: by its ledger, else by its newest version that has one."""
    named = (ref.key_check for ref in reversed(session.store.versions(name)) if ref.key_check)
    return read_ledger(session.store, name).key_check or next(named, None)


def _waiting(session: Session, name: str) -> bool:
    """Whether requests of a model wait; of a model whose versions are gone only a ledger may be left."""
    return bool(received_requests(session.store, read_ledger(session.store, name)))


@dataclass(frozen=True)
class _Plan:
    """What is recorded of one model under the new key."""

    requests: dict[str, Rekeyed]
    rows: dict[str, bytes]
    pending: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    left: tuple[str, ...] = ()


def _rekeyed_all(session: Session, name: str, keys: tuple[bytes, bytes]) -> _Plan:
    """The requests of all versions of a model, and the rows of their data, under the second key.

    Raises:
        InputError: the model has another key than the first.
    """
    if _present_check(session, name) != key_check(keys[0]):
        raise InputError(
            f"the pseudonyms of {name} were created with another key than the one in {key_path()}: nothing was changed"
        )
    lineages, found, rows = Lineages(session.store), dict[str, Rekeyed](), dict[str, bytes]()
    versions = session.store.versions(name)
    forgotten = frozenset[str]().union(*(lineages.left_out(ref) | lineages.withheld(ref) for ref in versions))
    for ref in versions:
        before = lineages.rekeyed(name).get(ref.version)
        if not ref.forget_digest or key_check(keys[0]) != (before.key_check if before else ref.key_check or key_check(keys[0])):
            continue  # no request, or one of a lost key, which stays as it is
        dataset, more = session.dataset_of(ref, forgotten), before is not None and before.more
        ids = {old: text for text, old in zip(dataset.frame["id"], session.pseudonyms_of(dataset), strict=True)}
        named = lineages.left_out(ref), lineages.withheld(ref)
        missing = frozenset[str]().union(*named) - ids.keys() - {row.name for row in dataset.deleted}
        if missing:
            raise InputError(f"{len(missing)} of {len(named[0] | named[1])} ids of {ref.label} match no row of its data")
        renamed = [frozenset(pseudonym(keys[1], ids[old]) if old in ids else old for old in rows) for rows in named]
        digest = set_digest(keys[1], [ids.get(old, old) for rows in named for old in rows])
        found[ref.version] = Rekeyed(digest, renamed[0], more, withheld=renamed[1])
        recorded = session.recorded_rows(ref) if dataset.deleted else None
        rows[dataset.identity] = row_table(dataset, keys[1], recorded).to_bytes()
    waiting = received_requests(session.store, read_ledger(session.store, name))
    newest = session.dataset_of(versions[-1], forgotten) if versions and waiting else None
    ids = dict(zip(session.pseudonyms_of(newest), newest.frame["id"], strict=True)) if newest is not None else {}
    pending = {one.record.request_id: _renamed(one.pseudonyms, ids, keys[1]) for one in waiting if one.pseudonyms <= ids.keys()}
    return _Plan(found, rows, pending, tuple(r for one in waiting if (r := one.record.request_id) not in pending))


def _renamed(names: Iterable[str], ids: Mapping[str, str], key: bytes) -> tuple[str, frozenset[str]]:
    """Digest and pseudonyms of rows under another key."""
    rows = [ids[name] for name in names]
    return set_digest(key, rows), frozenset(pseudonyms(key, rows))


def _earlier_ids(path: Path, dataset: Dataset, record: StoredRequest) -> tuple[list[str], list[str]]:
    """The training ids, and the validation and test ids, of a list that agrees with a record in their numbers.

    Raises:
        InputError: it does not; of training rows group by group.
    """
    ids = rows_of_subjects(read_forget_list(path), dataset.frame, dataset.header.subject_name).ids
    rows = dataset.frame[dataset.frame["id"].isin(ids)]
    trained = rows["split"] == "train"
    frame, withheld = rows[trained], rows[~trained]["id"].tolist()
    agreed = (len(frame), len(withheld)) == (len(record.pseudonyms), len(record.withheld))
    if not (agreed and len(set(ids)) == len(ids) == len(rows)):
        others = f" and {len(record.withheld)} validation and test rows" if record.withheld else ""
        raise InputError(
            f"{path}: {len(ids)} rows, {len(frame)} of them training rows of the data, but {len(record.pseudonyms)}{others} were"
            " forgotten: give the list of all ids of the lineage's requests"
        )
    groups = Counter(Group(int(target), int(attribute)) for target, attribute in frame[["target", "attribute"]].to_numpy())
    wrong = [row.name for row in record.groups if groups[row.group] != row.forget]
    if wrong:
        raise InputError(f"{path}: not as many rows as were forgotten of {', '.join(map(repr, wrong))}: give the right list")
    return frame["id"].tolist(), withheld


def _enter(session: Session, name: str, plan: _Plan, check: str) -> None:
    """Store the records in a run, and enter them with the key's check value in the model's ledger."""
    content = rekeyed_artifact(plan.requests, {digest: sha256_hex(rows) for digest, rows in plan.rows.items()}, plan.pending)
    with session.store.run(name, "rekey") as run:
        run.log_bytes(content, REKEYED)
        for digest, rows in plan.rows.items():
            run.log_bytes(rows, rows_artifact(digest))
    newest = next(reversed(session.store.versions(name)), ModelRef(name, "", run_id=run.id))
    entry = read_ledger(session.store, name).new_entry(
        "key",
        version=newest.version or None,
        key_check=check,
        rekeyed_run=run.id,
        rekeyed_sha256=sha256_hex(content),
        actor=session.actor,
        time=timestamp(),
    )
    append_entry(session.store, entry, newest)
