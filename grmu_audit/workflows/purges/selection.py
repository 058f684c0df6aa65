"""The rows that a purge is about, of a request or of a list, by pseudonym; and which versions were trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grmu_audit.data.forget import read_forget_list, rows_of_subjects
from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.evidence import pseudonyms
from grmu_audit.records import ModelRef
from grmu_audit.tracking import read_ledger, require_model
from grmu_audit.tracking.requests import Lineages, received_requests
from grmu_audit.tracking.requests.lineages import is_named
from grmu_audit.utils import sha256_hex
from grmu_audit.workflows.session import Session


@dataclass(frozen=True)
class Selection:
    """Rows of one model's data."""

    model: str
    """Registered model."""
    rows: frozenset[str]
    """Their pseudonyms."""
    request: str = ""
    """Id of the request; empty for a list."""

    @property
    def title(self) -> str:
        """For messages; says how many rows only where a request does not."""
        return f"request {self.request}" if self.request else f"{len(self.rows)} rows"

    @property
    def sha256(self) -> str:
        """Digest of the rows."""
        return sha256_hex("\n".join(sorted(self.rows)).encode())


def select(session: Session, name: str, request: str | None, forget: Path | None) -> Selection:
    """The rows that a request of a model, or a list, names.

    Args:
        session: store and key.
        name: registered model.
        request: id of a request, its digest or the first 8 or more digits of that.
        forget: a forget list.

    Raises:
        InputError: not exactly one of the two, or the key is not the one of the model's pseudonyms.
        NotFoundError: no such model or request.
        ForgetListError: the list is invalid.
    """
    if (request is None) == (forget is None):
        raise InputError("name a REQUEST or give --forget, one of the two")
    versions = require_model(session.store, name)
    session.require_key(*versions)
    if forget is not None:
        return Selection(name, frozenset(pseudonyms(session.key, _listed(session, forget, versions[-1]))))
    return Selection(name, _requested(session, versions, str(request)), str(request))


def _listed(session: Session, path: Path, newest: ModelRef) -> Sequence[str]:
    parsed = read_forget_list(path)
    if parsed.ids:
        return parsed.ids
    dataset = session.dataset_of(newest)
    return rows_of_subjects(parsed, dataset.frame, dataset.header.subject_name).ids


def _requested(session: Session, versions: Sequence[ModelRef], text: str) -> frozenset[str]:
    """Rows of a request by the versions that were created for it, and by its own record where it waits or waited.

    A list that holds several requests without saying which row is whose counts as a whole.
    """
    lineages, found, known = Lineages(session.store), frozenset[str](), list[str]()
    for ref in versions:
        for request in lineages.requests(ref)[-1:] if ref.forget_digest else ():
            known += request.names
            if is_named(request, text):
                parts = lineages.record(ref).parts
                found |= parts.get(text) or request.rows | request.withheld
    for waiting in received_requests(session.store, read_ledger(session.store, versions[0].name)):
        known.append(waiting.record.request_id)
        found |= waiting.pseudonyms if waiting.record.request_id == text else frozenset()
    if not found:
        listed = ", ".join(sorted(set(known))[:20]) or "none by name: give its digest, or --forget ids.csv"
        raise NotFoundError(f"{versions[0].name} has no request {text[:80]!r}; it has: {listed}")
    return found


@dataclass(frozen=True)
class Trained:
    """Versions of a model by what they have of some rows."""

    on_rows: tuple[ModelRef, ...]
    """Trained on at least one of them."""
    derived: tuple[ModelRef, ...]
    """Created without them, with weights that began as those of a version that was trained on them."""


def trained_on(session: Session, selection: Selection) -> Trained:
    """Which versions were trained on a row, by the record of their data's rows and their own requests.

    A version without a record of its rows counts as trained on every row that it was not created without.
    """
    lineages, tables = Lineages(session.store), dict[str, frozenset[str] | None]()
    versions, trained = session.store.versions(selection.model), list[ModelRef]()
    for ref in versions:
        left_out = lineages.left_out(ref) | lineages.withheld(ref)
        digest = str(ref.data_digest)
        if digest not in tables:
            tables[digest] = _training_rows(session, ref)
        known = tables[digest]
        rows = selection.rows - left_out
        if rows if known is None else rows & known:
            trained.append(ref)
    labels = {ref.label for ref in trained}
    derived = [ref for ref in versions if ref not in trained and labels & set(_weights_from(lineages, ref))]
    return Trained(tuple(trained), tuple(derived))


def _weights_from(lineages: Lineages, ref: ModelRef) -> list[str]:
    """The versions whose weights a version was made from; a retrained one begins with fresh weights."""
    found = list[str]()
    for one in reversed(lineages.line(ref)):
        found.append(one.label)
        if one.role == "retrain":
            break
    return found


def _training_rows(session: Session, ref: ModelRef) -> frozenset[str] | None:
    table = session.recorded_rows(ref)
    if table is None:
        return None
    training = table.columns["split"] == b"train"
    return frozenset(str(name, "ascii") for name in table.columns["name"][training].tolist())
