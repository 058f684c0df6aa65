"""Registration records in a store: entered before a version exists, and compared with all that they name from then on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from grmu_audit.errors import IntegrityError, NotFoundError
from grmu_audit.evidence.ledger import Author, Ledger
from grmu_audit.evidence.purges import purge_state
from grmu_audit.evidence.registration import Registered, Registration, registration_of
from grmu_audit.evidence.signing import sign_envelope, signed_by
from grmu_audit.records import ModelRef
from grmu_audit.tracking import names
from grmu_audit.tracking.ledger import append_entry, read_ledger
from grmu_audit.tracking.store import Store
from grmu_audit.utils import sha256_hex
from grmu_audit.utils.clock import timestamp

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


def enter_registration(store: Store, ref: ModelRef, tags: Mapping[str, str], files: Mapping[str, str], author: Author) -> str:
    """Enter the record of a version in its model's ledger.

    A new version is entered before it is created: what is killed in between leaves an entry without a version, and never a
    version without an entry.

    Args:
        store: the tracking store.
        ref: the version; a new one has no number yet, and is known by its run.
        tags: text of the tags that it has from the start.
        files: SHA-256 of each artifact of its run.
        author: who registers it, and what signs the record.

    Returns:
        SHA-256 of the envelope around the record, for the version's tag.
    """
    parent = _parent(store, tags.get(names.TAG_PARENT))
    record = Registration(
        run=str(ref.run_id),
        manifest_sha256=tags[names.TAG_MANIFEST],
        tags={key: sha256_hex(tags[key].encode()) for key in names.LINEAGE_TAGS if key in tags},
        files=files,
        parent=(parent.label, parent.manifest_sha256 or "") if parent else None,
    )
    envelope = sign_envelope(record.statement(), author.signer)
    digest = sha256_hex(envelope)
    if ref.version:  # first the tag: an entry is never without it
        store.tag(ref, {names.TAG_REGISTRATION: digest})
    entry = read_ledger(store, ref.name).new_entry(
        "registration",
        version=ref.version or None,
        run=record.run,
        envelope=envelope.decode(),
        actor=author.name,
        time=timestamp(author.now),
    )
    append_entry(store, entry, ref)
    return digest


def check_registration(store: Store, ledger: Ledger, ref: ModelRef, keys: Sequence[SSlibKey] = ()) -> Registered | None:
    """Compare a version with its registration record: tags, artifacts of its run, its parent; not its own files.

    Args:
        store: the tracking store.
        ledger: the model's.
        ref: the version.
        keys: trusted public keys; a signature in the name of one of them must hold.

    Returns:
        The record, or None where the version was registered before records were kept: it is not bound.

    Raises:
        IntegrityError: something is not what it was at registration; it is named.
    """
    found = registration_of(ledger, ref)
    if found is not None:
        _compare(store, ledger, ref, found, store.run_artifacts(found.record.run, _files(found)))
        signed_by(found.envelope, keys)
    return found


def check_registrations(store: Store, refs: Sequence[ModelRef], keys: Sequence[SSlibKey] = ()) -> None:
    """Compare versions with their registration records as ``check_registration`` does; their runs are looked up together.

    Raises:
        IntegrityError: something is not what it was at registration; the first is named.
    """
    bound: dict[str, list[tuple[Ledger, ModelRef, Registered]]] = {}
    for ref in refs:
        ledger = read_ledger(store, ref.name)
        if (found := registration_of(ledger, ref)) is not None:
            bound.setdefault(found.record.run, []).append((ledger, ref, found))
    wanted = {run: sorted({name for *_, found in ones for name in _files(found)}) for run, ones in bound.items()}
    for run, contents in store.artifacts_of_runs(wanted):
        for ledger, ref, found in bound[run]:
            _compare(store, ledger, ref, found, {name: contents[name] for name in _files(found)})
            signed_by(found.envelope, keys)


def _files(found: Registered) -> list[str]:
    """Artifacts of a version's run that are compared."""
    return sorted({*found.record.files, *names.RUN_FILES})


def _compare(store: Store, ledger: Ledger, ref: ModelRef, found: Registered, contents: Mapping[str, bytes | None]) -> None:
    """Tags, artifacts and parent of one version."""
    _check_tags(store.tags(ref), found, ref)
    for name, content in contents.items():
        if not (content is None and _is_purged(ledger, ref, name)):
            compare_artifact(content, found, ref, name)
    _check_parent(store, found, ref)


def compare_artifact(content: bytes | None, found: Registered, ref: ModelRef, name: str) -> None:
    """Return when an artifact of a version's run is the one that was there at registration.

    Raises:
        IntegrityError: it was changed, removed, or added since.
    """
    expected = found.record.files.get(name)
    if (sha256_hex(content) if content is not None else None) != expected:
        how = "is gone" if content is None else "was changed" if expected else "was added"
        raise IntegrityError(
            f"{name} of {ref.label} {how} since it was registered: what is computed from it is not of this version; restore it"
        )


def _is_purged(ledger: Ledger, ref: ModelRef, name: str) -> bool:
    """Whether an artifact of a version's run is gone because of a purge that the ledger names."""
    return name not in names.KEPT_OF_PURGED and purge_state(ledger).of(ref.version) is not None


def version_artifact(store: Store, ref: ModelRef, name: str) -> bytes | None:
    """An artifact of a version's run, compared with the registration record where there is one; None where there is none, or
    where it was purged.

    Raises:
        IntegrityError: it is not the one that was there at registration.
    """
    content = store.run_artifact(ref.run_id, name) if ref.run_id else None
    ledger = read_ledger(store, ref.name)
    found = registration_of(ledger, ref) if ref.version else None
    if found is not None and not (content is None and _is_purged(ledger, ref, name)):
        compare_artifact(content, found, ref, name)
    return content


def unbound_versions(store: Store, ledger: Ledger) -> list[ModelRef]:
    """The versions of a model that have no registration record and are older than records are.

    Raises:
        IntegrityError: a later version without a record.
    """
    return [ref for ref in store.versions(ledger.model) if registration_of(ledger, ref) is None]


def _check_tags(tags: Mapping[str, str], found: Registered, ref: ModelRef) -> None:
    if tags.get(names.TAG_REGISTRATION) != found.sha256:
        raise IntegrityError(
            f"tag {names.TAG_REGISTRATION!r} of {ref.label} does not name its record in the ledger: it was edited"
        )
    for key in sorted({*found.record.tags, *names.LINEAGE_TAGS}):
        now = sha256_hex(tags[key].encode("utf-8", "surrogatepass")) if key in tags else None
        if now != found.record.tags.get(key):
            raise IntegrityError(f"tag {key!r} of {ref.label} is not what it was at registration: it was edited")


def _check_parent(store: Store, found: Registered, ref: ModelRef) -> None:
    """The parent has the files that it had; one that was deleted cannot be compared."""
    if found.record.parent is None:
        return
    label, manifest = found.record.parent
    name, _, version = label.rpartition("/")
    try:
        tags = store.tags(ModelRef(name, version))
    except NotFoundError:
        return
    if tags.get(names.TAG_MANIFEST, "") != manifest:
        raise IntegrityError(
            f"{label}, the parent of {ref.label}, no longer has the files that it had when {ref.label} was registered"
        )


def _parent(store: Store, label: str | None) -> ModelRef | None:
    """None also for one that was deleted before the version was bound; the tag that names it is bound all the same."""
    try:
        return store.resolve(label) if label else None
    except NotFoundError:
        return None
