"""The promotion ledger of a model: who moved the champion, when, on what evidence, in an order that nobody can rewrite unseen.

The entries are the versions of the registered model ``<name>--ledger``: the registry numbers them without gaps, however many
processes append at once.  Concurrent promotions are settled by compare-and-set: a ``promote`` or ``rollback`` entry says which
number it saw last, and it takes effect only if no promotion was open there and no other such entry came in between; an entry that
lost changes nothing.  The winner then moves the alias and appends ``done``.  Each entry carries the running hash over all entries
up to the one it saw:
``H(0) = sha256(model)``, ``H(k) = sha256(H(k-1) + sha256(entry k))``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import InputError
from grmu_audit.utils.digests import canonical_json, parse_json, sha256_hex

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

TAG_ENTRY = "grmu.ledger.entry"
"""Ledger entry: its text in canonical JSON."""
TAG_ENTRY_SHA256 = "grmu.ledger.sha256"
"""Ledger entry: SHA-256 of that text."""
TAG_ENTRY_KIND = "grmu.ledger.kind"
"""Ledger entry: its kind, for people who look at the registry."""
LEDGER_SCHEMA = "grmu-audit/ledger/v1"
"""Schema name and version of an entry."""
PROMOTIONS = ("promote", "rollback")
"""Entries that begin a promotion step; all others end one or record an event."""
KINDS = (
    *PROMOTIONS,
    "done",
    "abandoned",
    "refusal",
    "audit",
    "waiver",
    "sign-off",
    "answer",
    "key",
    "registration",
    "request",
    "withdrawal",
    "purge",
    "purged",
    "hold",
    "release",
    "export",
    "restored",
    "signature",
)
"""Every kind of entry."""


@dataclass(frozen=True)
class Author:
    """Author of a ledger entry."""

    name: str = "unknown"
    """Account or person."""
    signer: CryptoSigner | None = None
    """Signs the statement that the entry is about; None: it is stored unsigned."""
    now: datetime | None = None
    """Time of the entry; None: the clock."""


UNKNOWN_AUTHOR = Author()
"""Nobody is named, and nothing is signed."""


@dataclass(frozen=True)
class ServedRequest:
    """A forget request that a champion was created without the rows of."""

    digest: str
    """Keyed digest of the request."""
    version: str
    """Version that was created for it: the champion, or an ancestor of it."""
    record_sha256: str
    """SHA-256 of that version's record of the request."""


@dataclass(frozen=True)
class Entry:
    """One entry, as it was written."""

    kind: str
    """One of ``KINDS``."""
    model: str
    """Registered model."""
    previous: int
    """Number of the last entry that the writer had seen; 0 for none."""
    chain_sha256: str
    """Running hash over entries 1 to ``previous``."""
    version: str | None = None
    """The version that it is about: where the champion shall point, or what was audited or refused."""
    champion_before: str | None = None
    """Version that the champion alias pointed at; None for no champion."""
    turn: int | None = None
    """For ``done``, ``abandoned`` and ``purged``: number of the entry whose promotion step or purge it ends."""
    audit_run: str | None = None
    """Run that holds the audit."""
    audit_sha256: str | None = None
    """SHA-256 of the bytes of the audit."""
    policy_sha256: str | None = None
    """Digest of the policy that judged it."""
    manifest_sha256: str | None = None
    """Manifest digest of the version's files."""
    decision: str | None = None
    """PASS, BREACH or INCONCLUSIVE, where there was a verdict."""
    actor: str = "unknown"
    """Who, as the caller says."""
    account: str | None = None
    """Account that wrote it, as ``Store.account`` gives it; None in entries of before accounts were recorded."""
    time: str = ""
    """When, UTC, ISO 8601."""
    ci_url: str | None = None
    """The CI run, where there was one."""
    reason: str = ""
    """Why, in the words of the actor or of the refusal."""
    role: str | None = None
    """For ``sign-off``: ``preparer``, ``reviewer`` or ``approver``."""
    request: str | None = None
    """For ``answer``, ``request`` and ``withdrawal``: id of the erasure request that was answered, received or withdrawn; for
    ``purge``, ``hold`` and ``release``: the one that it is about, where it is one."""
    record_sha256: str | None = None
    """For ``request``: SHA-256 of the record of the request in its run; for ``purge`` and ``purged``: of the record of what is
    deleted; for ``export``: of the archive; for ``signature``: of the signature; for a ``sign-off`` of a purge: digest of its
    plan."""
    attestation_sha256: str | None = None
    """For ``audit``: SHA-256 of the envelope around the verdict's statement."""
    envelope: str | None = None
    """The envelope around the person's statement (``sign-off``) or around the record of the version (``registration``), or the
    signature of its files (``signature``)."""
    run: str | None = None
    """For ``request`` and ``purge``: the run of its record; for ``registration``: the run that creates the version; ``version``
    is named where an older one is bound later."""
    last_unbound: int | None = None
    """In the first entry since registration records are kept: the newest version of before; 0 where there was none."""
    served: Sequence[Mapping[str, str]] | None = None
    """For ``promote`` and ``rollback``: the requests of the version's lineage, as ``ServedRequest``; None in older entries."""
    reopened: Sequence[str] | None = None
    """For ``promote`` and ``rollback``: digests of served requests that the version lacks and that are open again."""
    without_forgetting_claim: str | None = None
    """For ``promote`` and ``rollback``: why a version may be champion whose verdict claims nothing on forgetting."""
    required: Mapping[str, Any] | None = None
    """For ``promote`` and ``rollback``: what the operator required beyond a PASS; ``resume`` requires it again.  For ``purge``:
    that two people had to sign the plan, and the keys that were trusted."""
    key_check: str | None = None
    """For ``key``: check value of the key that pseudonyms of the model are created with from here on."""
    rekeyed_run: str | None = None
    """For ``key``: run that holds the records of earlier requests under this key; None for a model's first key."""
    rekeyed_sha256: str | None = None
    """For ``key``: SHA-256 of that artifact."""
    purged: Sequence[str] | None = None
    """For ``purge``: the versions whose files it deletes."""
    page_sha256: str | None = None
    """For ``audit`` and ``done``: SHA-256 of the model's description in the registry, as it is written with the entry."""
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    """Makes every entry unlike any other."""
    schema: str = LEDGER_SCHEMA
    """Schema name and version."""

    def to_tags(self) -> dict[str, str]:
        """The entry as the tags of a ledger version; what has no value is left out."""
        text = canonical_json({key: value for key, value in asdict(self).items() if value is not None})
        return {TAG_ENTRY: text.decode(), TAG_ENTRY_SHA256: sha256_hex(text), TAG_ENTRY_KIND: self.kind}


@dataclass(frozen=True)
class LedgerEntry:
    """An entry at its place."""

    number: int
    """From 1, without gaps."""
    sha256: str
    """SHA-256 of its canonical JSON."""
    entry: Entry
    """Its content."""


@dataclass(frozen=True)
class LedgerHead:
    """All entries up to one of them, by their running hash."""

    entries: int
    """Number of the last of them; 0 for none."""
    sha256: str
    """``H(entries)``."""


@dataclass(frozen=True)
class State:
    """State after all entries."""

    champion: str | None = None
    """Version that the champion alias must point at; None for no champion."""
    open: LedgerEntry | None = None
    """The promotion step that has begun and not ended."""
    owners: frozenset[str] = frozenset()
    """Digests of the ``promote`` and ``rollback`` entries that took effect; the others changed nothing."""
    ended: frozenset[int] = frozenset()
    """Numbers of the promotion steps that ended with ``done``."""
    served: tuple[ServedRequest, ...] = ()
    """Requests that champions have served, in order, without those that were opened again."""
    reopened: frozenset[str] = frozenset()
    """Digests of requests that were opened again and not served since."""
    unlisted: tuple[str, ...] = ()
    """Champions of older entries, which do not say what they served."""


@dataclass(frozen=True)
class Ledger:
    """All entries of a model, checked."""

    model: str
    """Registered model."""
    entries: tuple[LedgerEntry, ...]
    """In order."""
    unbound: int | None = None
    """The newest version, where no entry says yet up to which one there are no registration records: the next entry does."""

    @property
    def last_unbound(self) -> int | None:
        """The newest version that may lack a registration record; None where no entry says."""
        return next((n.entry.last_unbound for n in self.entries if n.entry.last_unbound is not None), None)

    @property
    def state(self) -> State:
        """State after all entries."""
        return ledger_state(self.entries)

    @property
    def last(self) -> int:
        """Number of the last entry; 0 for none."""
        return len(self.entries)

    @property
    def head(self) -> LedgerHead:
        """All entries."""
        return LedgerHead(self.last, running_hash(self.model, self.entries))

    def begins_with(self, head: LedgerHead) -> bool:
        """Whether these are the first entries, unchanged."""
        return head.entries <= self.last and running_hash(self.model, self.entries[: head.entries]) == head.sha256

    @property
    def key_check(self) -> str | None:
        """Check value of the key that the model's pseudonyms are created with; None where no entry names it."""
        return next((n.entry.key_check for n in reversed(self.entries) if n.entry.kind == "key"), None)

    def new_entry(self, kind: str, **fields: Any) -> Entry:
        """A new entry that has seen all of these."""
        return Entry(
            kind=kind,
            model=self.model,
            previous=self.last,
            chain_sha256=running_hash(self.model, self.entries),
            last_unbound=self.unbound,
            **fields,
        )

    def newest_audit(self, version: str) -> Entry | None:
        """The last ``audit`` entry of a version."""
        found = [n.entry for n in self.entries if n.entry.kind == "audit" and n.entry.version == version]
        return found[-1] if found else None


def running_hash(model: str, entries: tuple[LedgerEntry, ...]) -> str:
    """``H(k)`` over these entries."""
    digest = sha256_hex(model.encode())
    for numbered in entries:
        digest = sha256_hex((digest + numbered.sha256).encode())
    return digest


def check_ledger(model: str, stored: Sequence[tuple[int, Mapping[str, str]]]) -> tuple[tuple[LedgerEntry, ...], list[str]]:
    """The readable entries, and every defect found.

    Args:
        model: whose ledger it is.
        stored: number and tags of each entry, in order.
    """
    entries: list[LedgerEntry] = []
    defects: list[str] = []
    hashes = [running_hash(model, ())]
    for position, (number, tags) in enumerate(stored, 1):
        if number != position:
            return tuple(entries), [*defects, f"entry {position} is missing"]
        numbered, defect = _parse(number, tags)
        if numbered is None:
            return tuple(entries), [*defects, f"entry {position} {defect}"]
        if wrong := _misplaced(model, numbered, hashes):
            defects.append(f"entry {position} {wrong}")
        entries.append(numbered)
        hashes.append(sha256_hex((hashes[-1] + numbered.sha256).encode()))
    return tuple(entries), defects


def _parse(number: int, tags: Mapping[str, str]) -> tuple[LedgerEntry | None, str]:
    text = tags.get(TAG_ENTRY, "")
    digest = sha256_hex(text.encode("utf-8", "surrogatepass"))
    if digest != tags.get(TAG_ENTRY_SHA256):
        return None, "was edited: its text does not have its digest"
    try:
        tree = parse_json(text.encode("utf-8", "surrogatepass"))
        entry = Entry(**tree)
        if not all(_types()[name](value) for name, value in tree.items()):
            return None, "cannot be read"
        if canonical_json(tree).decode() != text or entry.schema != LEDGER_SCHEMA or entry.kind not in KINDS:
            return None, "is not an entry of a form that this version reads"
        served_by(entry)
        if tags.get(TAG_ENTRY_KIND, entry.kind) != entry.kind:
            return None, "was edited: its tag names another kind than its text"
    except (TypeError, ValueError, InputError):
        return None, "cannot be read"
    return LedgerEntry(number, digest, entry), ""


@cache
def _types() -> dict[str, Callable[[Any], bool]]:
    """Whether a value is one of a field's, by the field's annotation."""

    def is_text(value: Any) -> bool:
        return isinstance(value, str)

    checks: dict[str, Callable[[Any], bool]] = {
        "str": is_text,
        "int": lambda value: type(value) is int,
        "Sequence[str]": lambda value: isinstance(value, list) and all(map(is_text, value)),
        "Mapping[str, Any]": lambda value: isinstance(value, dict),
        "Sequence[Mapping[str, str]]": lambda value: (
            isinstance(value, list) and all(isinstance(item, dict) and all(map(is_text, item.values())) for item in value)
        ),
    }
    return {one.name: checks[str(one.type).removesuffix(" | None")] for one in fields(Entry)}


def _misplaced(model: str, numbered: LedgerEntry, hashes: list[str]) -> str:
    entry = numbered.entry
    if entry.model != model:
        return f"belongs to the model {entry.model!r}"
    if not 0 <= entry.previous < numbered.number:
        return f"says that it follows entry {entry.previous}"
    if entry.chain_sha256 != hashes[entry.previous]:
        return f"does not fit entries 1 to {entry.previous}: one of them was changed after it was written"
    return ""


def served_by(entry: Entry) -> tuple[ServedRequest, ...]:
    """The requests that a promotion lists.

    Raises:
        TypeError: the list has another form.
    """
    return tuple(ServedRequest(**item) for item in entry.served or ())


def ledger_state(entries: tuple[LedgerEntry, ...]) -> State:
    """Walk through the entries: which promotions took effect, which is open, who is champion, which requests were served."""
    open_step: LedgerEntry | None = None
    last_promotion, owners, done = 0, set[str](), list[LedgerEntry]()
    for numbered in entries:
        entry = numbered.entry
        if entry.kind in PROMOTIONS:
            if open_step is None and last_promotion <= entry.previous:
                open_step = numbered
                owners.add(numbered.sha256)
            last_promotion = numbered.number
        elif open_step is not None and entry.turn == open_step.number and entry.kind in ("done", "abandoned"):
            if entry.kind == "done":
                done.append(open_step)
            open_step = None
    champion = done[-1].entry.version if done else None
    ended = frozenset(step.number for step in done)
    return State(champion, open_step, frozenset(owners), ended, *_served(done))


def _served(done: Sequence[LedgerEntry]) -> tuple[tuple[ServedRequest, ...], frozenset[str], tuple[str, ...]]:
    """What the promotions that took effect served, what they opened again, and those that do not say."""
    served: dict[str, ServedRequest] = {}
    reopened, unlisted = set[str](), list[str]()
    for step in done:
        for digest in step.entry.reopened or ():
            served.pop(digest, None)
            reopened.add(digest)
        for request in served_by(step.entry):
            served.setdefault(request.digest, request)
            reopened.discard(request.digest)
        if step.entry.served is None:
            unlisted.append(str(step.entry.version))
    return tuple(served.values()), frozenset(reopened), tuple(unlisted)
