"""Requests add up: which rows a version may not have been trained on, by the records of its lineage and of its champions."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.ledger import Ledger, ServedRequest
from grmu_audit.records import ModelRef
from grmu_audit.tracking.names import ERASURE, REQUEST
from grmu_audit.tracking.read_once import ReadOnce
from grmu_audit.tracking.requests.records import UNNAMED, StoredRequest, read_erasure_records, read_request_record
from grmu_audit.tracking.requests.rekeyed import Rekeyed, read_rekeyed
from grmu_audit.tracking.store import Store

SHOWN_REQUESTS = 5
"""Request ids that a report or a message names; it counts the others."""
_SHORTEST_PREFIX = 8
"""Digits of a digest that name a request."""


@dataclass(frozen=True)
class LineageRequest:
    """One request of a lineage: a forget list that one of its versions was created for."""

    ref: ModelRef
    """The version that was created for it."""
    rows: frozenset[str]
    """Pseudonyms of the training rows that it added to the forget set."""
    withheld: frozenset[str]
    """Pseudonyms of the validation and test rows that it took out of every later evaluation."""
    names: tuple[str, ...]
    """Request ids in the list, as the operator gave them."""
    record_sha256: str
    """SHA-256 of the version's record of the request."""

    @property
    def digest(self) -> str:
        """Keyed digest of the list; of the union in records that do not have it."""
        return str(self.ref.request_digest or self.ref.forget_digest)

    @property
    def served(self) -> ServedRequest:
        """The request as a ledger lists it."""
        return ServedRequest(self.digest, self.ref.version, self.record_sha256)

    @property
    def title(self) -> str:
        """Request ids, digest and version, for messages."""
        named = f"{first_few(self.names)}, " if self.names else ""
        return f"request {named}{self.digest[:24]}... of {self.ref.label}"


def first_few(names: Sequence[str]) -> str:
    """The first names, and how many more.

    >>> first_few(["a", "b"])
    'a, b'
    """
    more = f" and {len(names) - SHOWN_REQUESTS} more" if len(names) > SHOWN_REQUESTS else ""
    return ", ".join(names[:SHOWN_REQUESTS]) + more


class Lineages:
    """Lineages and their requests, as a store's records say when they are first asked for; ledger and records are read once.

    Args:
        store: the tracking store.
    """

    def __init__(self, store: Store) -> None:
        self.store: Store = store if isinstance(store, ReadOnce) else ReadOnce(store)
        self._versions: dict[str, ModelRef] = {}
        self._requests: dict[str, tuple[StoredRequest, tuple[str, ...]]] = {}
        self._rekeyed: dict[str, dict[str, Rekeyed]] = {}

    def version(self, label: str) -> ModelRef | None:
        """The version of that label, or None where it was deleted."""
        if label not in self._versions:
            self._versions |= {ref.label: ref for ref in self.store.versions(label.rpartition("/")[0])}
        return self._versions.get(label)

    def line(self, ref: ModelRef) -> list[ModelRef]:
        """The version and its ancestors, oldest first.

        An ancestor that was deleted ends the line where the record of its child holds the requests before it.

        Raises:
            IntegrityError: the line returns to itself, or is cut where the record does not hold the requests before.
        """
        line = [ref]
        while line[-1].parent:
            child = line[-1]
            parent = self.version(str(child.parent))
            if parent is None:
                if child.forget_digest and not child.request_digest:
                    raise IntegrityError(
                        f"{child.parent}, the parent of {child.label}, was deleted: nothing shows which requests it had served"
                    )
                break
            if parent in line:
                raise IntegrityError(f"{child.label} is its own ancestor by its tags: they were edited")
            line.append(parent)
        return line[::-1]

    def requests(self, ref: ModelRef) -> list[LineageRequest]:
        """The requests of a version and its ancestors, oldest first, each with the rows that no request before it named.

        Raises:
            IntegrityError: a stored record is missing or damaged, or the line is.
        """
        found, before = list[LineageRequest](), frozenset[str]()
        line = [version for version in self.line(ref) if version.forget_digest]
        self.fetch(line)
        for version in line:
            record, names = self._record(version)
            rows, withheld = record.pseudonyms - before, record.withheld - before
            found.append(LineageRequest(version, rows, withheld, names, record.sha256))
            before |= rows | withheld
        return found

    def listed(self, ref: ModelRef) -> list[dict[str, str]]:
        """The requests of a version's lineage as a ledger entry lists them.

        Raises:
            IntegrityError: as ``requests``.
        """
        return [asdict(request.served) for request in self.requests(ref)]

    def forgotten(self, ref: ModelRef) -> frozenset[str]:
        """Pseudonyms of all rows that the requests of a version and its ancestors name, withheld ones among them.

        Raises:
            IntegrityError: as ``requests``.
        """
        return frozenset[str]().union(*(request.rows | request.withheld for request in self.requests(ref)))

    def record(self, ref: ModelRef) -> StoredRequest:
        """The request that a version was created for, under the model's present key where that was changed since.

        Raises:
            InputError: the version was not created for a request.
            IntegrityError: its record is missing or damaged.
        """
        return self._record(ref)[0]

    def left_out(self, ref: ModelRef) -> frozenset[str]:
        """Pseudonyms of the training rows that a version itself was created without; none for one without a request.

        Raises:
            IntegrityError: its record is missing or damaged.
        """
        return self.record(ref).pseudonyms if ref.forget_digest else frozenset()

    def withheld(self, ref: ModelRef) -> frozenset[str]:
        """Pseudonyms of the validation and test rows that no evaluation of a version uses; none for one without a request.

        Raises:
            IntegrityError: its record is missing or damaged.
        """
        return self.record(ref).withheld if ref.forget_digest else frozenset()

    def fetch(self, refs: Sequence[ModelRef]) -> None:
        """Read the records of versions together, which takes less time than one by one."""
        missing = [ref for ref in refs if ref.run_id and ref.forget_digest and ref.label not in self._requests]
        runs = {str(ref.run_id): (ERASURE, REQUEST) for ref in missing}
        deque(self.store.artifacts_of_runs(runs), maxlen=0)

    def same_forget_set(self, one: ModelRef, other: ModelRef) -> bool:
        """Whether two versions were created without the same rows; digests of one set differ after a change of the key, and where
        rows were deleted from the data.

        Raises:
            IntegrityError: a record is missing or damaged.
        """
        return one.forget_digest == other.forget_digest or self.left_out(one) == self.left_out(other)

    def rekeyed(self, name: str) -> dict[str, Rekeyed]:
        """Requests of a model's versions under its present key, by version, as 'keys rotate' recorded them.

        Raises:
            IntegrityError: a record is not the one that the ledger names.
        """
        if name not in self._rekeyed:
            self._rekeyed[name] = read_rekeyed(self.store, name)
        return self._rekeyed[name]

    def reversed_by(self, ref: ModelRef) -> list[LineageRequest]:
        """Earlier requests of the lineage whose rows the version was trained on again: its own record does not leave them out.

        Raises:
            IntegrityError: as ``requests``.
        """
        left_out = self.left_out(ref)
        return [request for request in self.requests(ref) if request.rows - left_out] if ref.forget_digest else []

    def served(self, ledger: Ledger) -> list[LineageRequest]:
        """The requests that champions have served, without those opened again; rows are empty where the version was deleted.

        Raises:
            IntegrityError: a record is not the one that the ledger names, or the requests of a former champion cannot be read.
        """
        state = ledger.state
        found = {served.digest: self._served(ledger.model, served) for served in state.served}
        for version in state.unlisted:
            ref = self.version(f"{ledger.model}/{version}")
            for request in self.requests(ref) if ref else ():  # 'verify' finds former champions that were deleted
                if request.digest not in state.reopened:
                    found.setdefault(request.digest, request)
        return list(found.values())

    def lacking(self, ledger: Ledger, ref: ModelRef) -> list[LineageRequest]:
        """Requests that champions have served and that the version was not created without, or that its evaluations may use.

        Raises:
            IntegrityError: as ``served``.
        """
        left_out, own = self.left_out(ref) | self.withheld(ref), {request.digest for request in self.requests(ref)}
        named = [(request, request.rows | request.withheld) for request in self.served(ledger)]
        return [request for request, rows in named if (rows - left_out if rows else request.digest not in own)]

    def _served(self, model: str, served: ServedRequest) -> LineageRequest:
        ref = self.version(f"{model}/{served.version}")
        if ref is None:
            gone = ModelRef(model, served.version, request_digest=served.digest)
            return LineageRequest(gone, frozenset(), frozenset(), (), served.record_sha256)
        request = self.requests(ref)[-1:]
        if not request or request[0].served != served:
            raise IntegrityError(f"{REQUEST} of {ref.label} is not the record that the ledger names: it was changed")
        return request[0]

    def _record(self, ref: ModelRef) -> tuple[StoredRequest, tuple[str, ...]]:
        """Its record, and the request ids in its list."""
        if ref.label not in self._requests:
            self.fetch([ref])
            names = tuple(r.request_id for r in read_erasure_records(self.store, ref) if r.request_id != UNNAMED)
            stored, now = read_request_record(self.store, ref), self.rekeyed(ref.name).get(ref.version)
            if now is not None:
                stored = replace(stored, digest=now.digest, pseudonyms=now.pseudonyms, withheld=now.withheld, parts={})
            self._requests[ref.label] = stored, names
        return self._requests[ref.label]


def require_no_reversal(lineages: Lineages, ref: ModelRef) -> None:
    """Return when the version was trained on no row that an earlier request of its lineage erased.

    Raises:
        IntegrityError: it was; the requests are named.
    """
    found = lineages.reversed_by(ref)
    if found:
        raise IntegrityError(
            f"{ref.label} was trained on rows that its lineage had forgotten ({'; '.join(r.title for r in found)}):"
            f" create a version anew from {ref.parent}"
        )


def require_served(lineages: Lineages, ledger: Ledger, ref: ModelRef, reopened: Sequence[str] = ()) -> None:
    """Return when the version leaves out the rows of every request that a champion has served, but those opened again.

    Args:
        lineages: of the store.
        ledger: the model's.
        ref: what shall be champion.
        reopened: digests of requests that become open again with it.

    Raises:
        IntegrityError: a request is lacking; it is named.
    """
    lacking = [request for request in lineages.lacking(ledger, ref) if request.digest not in reopened]
    if lacking:
        raise IntegrityError(
            f"{ref.label} was not created without the rows of {'; '.join(r.title for r in lacking)}, which a champion of"
            f" {ref.name} has served: promote a version whose lineage"
            " holds it, or open it again with --reopen REQUEST --reason TEXT"
        )


def requests_to_reopen(lineages: Lineages, ledger: Ledger, ref: ModelRef, named: Sequence[str]) -> tuple[str, ...]:
    """Digests of the requests that an operator names, by request id, digest, or the first 8 or more digits of the digest.

    Raises:
        InputError: the version lacks no such request that was served; those that it lacks are listed.
    """
    lacking = lineages.lacking(ledger, ref) if named else []
    found = list[str]()
    for text in named:
        matching = [request.digest for request in lacking if is_named(request, text)]
        if not matching:
            known = "; ".join(request.title for request in lacking) or "none"
            raise InputError(f"--reopen {text[:80]!r}: {ref.label} lacks no such request that was served; it lacks: {known}")
        found += matching
    return tuple(dict.fromkeys(found))


def is_named(request: LineageRequest, text: str) -> bool:
    """Whether a text is a request id of the list, its digest, or at least the first 8 digits of that."""
    digits = text.rpartition(":")[2]
    by_digest = len(digits) >= _SHORTEST_PREFIX and request.digest.rpartition(":")[2].startswith(digits)
    return text in request.names or by_digest
