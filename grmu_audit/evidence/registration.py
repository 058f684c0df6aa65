"""The registration record of a version: digests of all that audits of it are computed from, as an in-toto statement.

The ledger entry of a registration holds the whole record, signed where a key was set, so that no other file can stand for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from grmu_audit.errors import IntegrityError
from grmu_audit.evidence.attestation import read_statement, statement, subjects_of
from grmu_audit.evidence.ledger import Ledger
from grmu_audit.evidence.signing import open_envelope
from grmu_audit.records import ModelRef
from grmu_audit.utils.digests import sha256_hex

REGISTRATION = "urn:grmu-audit:registration:v1"
"""Predicate type of a registration record."""
MODEL_FILES = "model"
"""Subject whose digest is the manifest digest of the version's own files; the other subjects are artifacts of its run."""


@dataclass(frozen=True)
class Registration:
    """What a version was when it was registered."""

    run: str
    """Run that created it."""
    manifest_sha256: str
    """Manifest digest of its own files."""
    tags: Mapping[str, str]
    """SHA-256 of the text of each of its tags: role, method, seed, digests of data and requests, configuration."""
    files: Mapping[str, str]
    """SHA-256 of each artifact of its run: predictions, request, quality report, training record, start weights, rows."""
    parent: tuple[str, str] | None = None
    """Label and manifest digest of the version that it was derived from."""

    def statement(self) -> bytes:
        """The record as a statement in canonical JSON."""
        files = {**self.files, MODEL_FILES: self.manifest_sha256}
        parent = {"label": self.parent[0], "manifest_sha256": self.parent[1]} if self.parent else None
        return statement(REGISTRATION, files, {"run": self.run, "tags": dict(self.tags), "parent": parent})


@dataclass(frozen=True)
class Registered:
    """A record at its place in the ledger."""

    number: int
    """Number of the ledger entry."""
    record: Registration
    """Its content."""
    envelope: bytes = field(repr=False)
    """The envelope around it."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the envelope, which the version's tag names."""
        return sha256_hex(self.envelope)


def read_registration(envelope: bytes) -> Registration:
    """The record in an envelope.

    Raises:
        IntegrityError: it holds no registration record.
    """
    payload = open_envelope(envelope).payload
    tree, files = read_statement(payload), subjects_of(payload)
    try:
        told, parent = tree["predicate"], tree["predicate"]["parent"]
        made = Registration(
            str(told["run"]),
            files.pop(MODEL_FILES),
            {str(key): str(value) for key, value in told["tags"].items()},
            files,
            (str(parent["label"]), str(parent["manifest_sha256"])) if parent is not None else None,
        )
        known = tree["predicateType"] == REGISTRATION and made.statement() == payload
    except (KeyError, TypeError, AttributeError):
        known = False
    if not known:
        raise IntegrityError("the ledger holds a registration record of no known form")
    return made


def registration_of(ledger: Ledger, ref: ModelRef) -> Registered | None:
    """The record of a version; None for one that was registered before records were kept and was not bound since.

    Raises:
        IntegrityError: a later version without a record, or one with two.
    """
    entries = [
        n for n in ledger.entries
        if n.entry.kind == "registration" and n.entry.run == ref.run_id and n.entry.version in (None, ref.version)
    ]  # fmt: skip
    last = ledger.last_unbound
    if not entries and last is not None and not (ref.version.isdigit() and int(ref.version) <= last):
        raise IntegrityError(
            f"{ref.label} has no registration record, but every version of {ref.name} after version {last} has one: it was not"
            " registered by this tool, or its run was exchanged; delete it, and register it again"
        )
    if len(entries) > 1:
        raise IntegrityError(f"the ledger of {ref.name} holds {len(entries)} registration records of {ref.label}: one is forged")
    if not entries:
        return None
    envelope = str(entries[0].entry.envelope).encode()
    record = read_registration(envelope)
    if record.run != ref.run_id:
        raise IntegrityError(f"the registration record of {ref.label} is about another run")
    return Registered(entries[0].number, record, envelope)
