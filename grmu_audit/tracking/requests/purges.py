"""The record of a purge in a store: which files it deletes, with their digests, and whether nothing of them is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import GrmuAuditError, IntegrityError
from grmu_audit.evidence.ledger import Entry, Ledger, LedgerEntry
from grmu_audit.evidence.purges import purge_state
from grmu_audit.evidence.sign_offs import SIGN_OFF_ROLES, require_two_people
from grmu_audit.tracking.artifacts import safe_artifact_path
from grmu_audit.tracking.names import KEPT_TABLES, PURGE
from grmu_audit.tracking.store import Store
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.utils.digests import parse_json

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

SCHEMA = "grmu-audit/purge/v1"
"""Schema name and version of a record."""
_SHOWN = 3


@dataclass(frozen=True)
class CacheFolder:
    """A folder with caches that a purge deletes."""

    name: str
    """What it holds, as ``measured`` or ``inputs of jobs``."""
    place: str = ""
    """Its absolute path."""
    host: str = ""
    """Name of the machine; empty in records that do not hold places yet."""

    @property
    def title(self) -> str:
        """Place and machine, in words."""
        return f"{self.place or self.name} on {self.host or 'the machine that began the purge'}"


@dataclass(frozen=True)
class PurgeRecord:
    """What a purge deletes."""

    model: str
    """Registered model."""
    versions: Mapping[str, str]
    """Manifest digest of each version whose files go, by number."""
    files: Mapping[str, Mapping[str, str]]
    """SHA-256 of each file by its path, by run."""
    rows_sha256: str
    """SHA-256 over the pseudonyms of the rows that it was asked for."""
    request: str = ""
    """Id of the erasure request, where it is one."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the table of test outputs that stays of a version, by number."""
    folders: tuple[CacheFolder, ...] = ()
    """Caches of the machine that began it."""

    @property
    def plan_sha256(self) -> str:
        """Digest of what is deleted in the store; sign-offs cover it.  What stays, and caches, are not part of it."""
        named = {"model": self.model, "versions": dict(self.versions), "rows": self.rows_sha256, "request": self.request}
        return sha256_hex(canonical_json({**named, "files": {run: dict(paths) for run, paths in self.files.items()}}))

    def to_bytes(self) -> bytes:
        """The record as the artifact of its run."""
        files = {run: dict(paths) for run, paths in self.files.items()}
        fields = {"model": self.model, "versions": dict(self.versions), "files": files, "rows_sha256": self.rows_sha256}
        more = {"request": self.request, "kept": dict(self.kept), "folders": [asdict(one) for one in self.folders]}
        return canonical_json({"schema": SCHEMA, **fields, **more})


def kept_table(version: str) -> str:
    """Artifact of a purge's run: outputs of test rows of a purged version.

    >>> kept_table("1")
    'predictions/kept-1.parquet'
    """
    return f"{KEPT_TABLES}/kept-{version}.parquet"


def read_purge(store: Store, entry: Entry) -> PurgeRecord:
    """The record that a ``purge`` entry names.

    Raises:
        IntegrityError: it is gone or another one.
    """
    content = store.run_artifact(str(entry.run), PURGE) or b""
    if sha256_hex(content) != entry.record_sha256:
        raise IntegrityError(f"{PURGE} of {entry.model} (run {entry.run}) is gone or is not the record that the ledger names")
    tree: dict[str, Any] = parse_json(content)
    files = {str(run): {safe_artifact_path(path): str(d) for path, d in paths.items()} for run, paths in tree["files"].items()}
    told = str(tree["model"]), dict(tree["versions"]), files, str(tree["rows_sha256"])
    folders = tuple(CacheFolder(one) if isinstance(one, str) else CacheFolder(**one) for one in tree["folders"])
    return PurgeRecord(*told, str(tree["request"]), dict(tree["kept"]), folders)


def kept_outputs(store: Store, ledger: Ledger, version: str) -> bytes | None:
    """The table of test outputs that stayed of a purged version, from its newest purge; None where none did.

    Raises:
        IntegrityError: it is gone or another one.
    """
    if (found := _kept_by(store, ledger, version)) is None:
        return None
    step, digest = found
    content = store.run_artifact(str(step.entry.run), kept_table(version))
    if content is None or sha256_hex(content) != digest:
        raise IntegrityError(
            f"the outputs that stayed of {ledger.model}/{version} are gone or changed: {kept_table(version)} of run"
            f" {step.entry.run} is not what purge {step.number} names"
        )
    return content


def kept_under_earlier_key(store: Store, ledger: Ledger, version: str) -> bool:
    """Whether the key was changed since that table was written, so that its pseudonyms match no row any more."""
    found = _kept_by(store, ledger, version)
    return found is not None and _key_changed_after(ledger, found[0].entry.previous)  # the last entry that the purge had seen


def _key_changed_after(ledger: Ledger, number: int) -> bool:
    """Whether ``keys rotate`` entered another key after the entry of that number."""
    named = [numbered for numbered in ledger.entries if numbered.entry.kind == "key"]
    before = next((n.entry.key_check for n in reversed(named) if n.number <= number), None)
    return any(n.entry.rekeyed_run and n.entry.key_check != before for n in named if n.number > number)


def _kept_by(store: Store, ledger: Ledger, version: str) -> tuple[LedgerEntry, str] | None:
    """The newest purge that left a table of a version, and the digest of the table."""
    steps = ((step, read_purge(store, step.entry).kept) for step in reversed(purge_state(ledger).begun))
    return next(((step, kept[version]) for step, kept in steps if version in kept), None)


def unfinished_purge(name: str, step: LedgerEntry) -> IntegrityError:
    """A purge that has begun and not ended."""
    entry = step.entry
    what = ", ".join(f"{name}/{version}" for version in entry.purged or ()) or "caches"
    return IntegrityError(
        f"the purge of {what} (ledger entry {step.number}, {entry.actor}, {entry.time}) has begun and not ended: some files"
        f" may be deleted; finish it with 'grmu-audit requests purge --model {name} --resume'"
    )


def plan_sign_offs(ledger: Ledger, digest: str, before: int | None = None) -> dict[str, Entry]:
    """Sign-offs of exactly this plan by role, before a ledger entry where one is given; the first of each role counts."""
    found: dict[str, Entry] = {}
    for number, entry in ((numbered.number, numbered.entry) for numbered in ledger.entries):
        if before is not None and number >= before:
            break
        if entry.kind == "sign-off" and entry.record_sha256 == digest and entry.role in SIGN_OFF_ROLES:
            found.setdefault(str(entry.role), entry)
    return found


def require_signed_purge(ledger: Ledger, step: LedgerEntry, record: PurgeRecord, keys: Sequence[SSlibKey] = ()) -> None:
    """Where a purge says that two people were required, both had signed its plan before it began.

    Raises:
        IntegrityError: they had not.
    """
    required = step.entry.required or {}
    if not required.get("sign_off"):
        return
    label = f"the purge of {ledger.model} (ledger entry {step.number})"
    found = plan_sign_offs(ledger, record.plan_sha256, step.number)
    if missing := [role for role in SIGN_OFF_ROLES[:2] if role not in found]:
        raise IntegrityError(f"{label} says that two people were required, and no {missing[0]} had signed its plan")
    require_two_people(found, label, keys, keyids=() if keys else tuple(required.get("keys") or ()))


def purge_defects(store: Store, ledger: Ledger) -> Iterator[GrmuAuditError]:
    """What is wrong with the purges of a model: one is open, a record is gone, or deleted files are there again."""
    state = purge_state(ledger)
    if state.open is not None:
        yield unfinished_purge(ledger.model, state.open)
    for step in state.done:
        try:
            record = read_purge(store, step.entry)
            require_signed_purge(ledger, step, record)
            if left := files_left(store, record):
                yield IntegrityError(
                    f"{len(left)} files that were purged (ledger entry {step.number}) are in the store again, as when a backup"
                    f" was restored: {', '.join(left[:_SHOWN])}; purge again"
                )
        except (IntegrityError, KeyError, TypeError, ValueError, AttributeError) as error:
            yield error if isinstance(error, IntegrityError) else IntegrityError(f"{PURGE} of {ledger.model} is damaged: {error}")
    for version in sorted({version for step in state.done for version in step.entry.purged or ()}, key=int):
        try:
            kept_outputs(store, ledger, version)
        except IntegrityError as error:
            yield error


def files_left(store: Store, record: PurgeRecord) -> list[str]:
    """Files of a record that are in the store, as ``path of run ...``."""
    there = {run: store.run_files(run) for run in record.files}
    return [f"{path} of run {run}" for run, paths in record.files.items() for path in paths if path in there[run]]
