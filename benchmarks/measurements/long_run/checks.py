"""What a store must say after a run of requests: ledger, registry, reports and records compared with what was asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Expected:
    """What the commands that ended well have asked for."""

    asked: Mapping[str, Sequence[str]]
    """Sample ids by request id, of every request that was recorded."""
    served: frozenset[str]
    """Request ids that a promoted version was created for."""
    promoted: tuple[str, ...]
    """Versions that were promoted, in order."""


@dataclass(frozen=True)
class Facts:
    """What the store says."""

    alias: str | None
    """Version that the alias ``champion`` points at, by MLflow's own client."""
    moves: tuple[str, ...]
    """Versions of the promotions that the ledger says were begun and ended, in order."""
    unended: int
    """Promotions that the ledger says have begun and not ended."""
    missing: tuple[str, ...]
    """What lacks of the evidence of promoted versions."""
    requests: Mapping[str, frozenset[str]]
    """Pseudonyms by request id, of every request that was received."""
    listed: Mapping[str, bool]
    """Whether a champion has served it, by request id, as ``requests list`` says."""
    repeated: tuple[str, ...]
    """Request ids that the ledger or the list names more than once."""
    union: frozenset[str]
    """Pseudonyms of all rows that the champion was created without, by its record."""
    asked: Mapping[str, frozenset[str]]
    """Pseudonyms of what was asked for, by request id."""
    running: tuple[str, ...]
    """Runs that are still said to run."""


def read_facts(name: str, expected: Expected) -> Facts:
    """What the store of ``MLFLOW_TRACKING_URI`` says about a model; no command may be running.

    Raises:
        GrmuAuditError: it cannot be read, or something in it is damaged.
    """
    from mlflow import MlflowClient

    from grmu_audit.evidence import pseudonyms
    from grmu_audit.tracking import read_ledger
    from grmu_audit.tracking.requests import Lineages, received_requests
    from grmu_audit.workflows.erasure import open_requests
    from grmu_audit.workflows.session import Session

    session, client = Session(device="cpu"), MlflowClient()
    ledger, lineages = read_ledger(session.store, name), Lineages(session.store)
    promotions = [one for one in ledger.entries if one.entry.kind in ("promote", "rollback")]
    champion = lineages.version(f"{name}/{ledger.state.champion}") if ledger.state.champion else None
    rows = open_requests(session.store, name)
    entered = [str(one.entry.request) for one in ledger.entries if one.entry.kind == "request"]
    counts = [Counter(entered), Counter(row.record.request_id for row in rows)]
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, "attributes.status = 'RUNNING'") if experiments else []
    missing = [
        f"{name}/{step.entry.version}: {lack}"
        for step in promotions
        if step.number in ledger.state.ended
        for lack in _missing_evidence(session, str(step.entry.audit_run), str(step.entry.audit_sha256))
    ]
    return Facts(
        alias=dict(client.get_registered_model(name).aliases).get("champion"),
        moves=tuple(str(one.entry.version) for one in promotions if one.number in ledger.state.ended),
        unended=int(ledger.state.open is not None),
        missing=tuple(missing),
        requests={one.record.request_id: one.pseudonyms for one in received_requests(session.store, ledger)},
        listed={row.record.request_id: row.served for row in rows},
        repeated=tuple(sorted({text for count in counts for text, n in count.items() if n > 1})),
        union=lineages.record(champion).pseudonyms if champion is not None else frozenset(),
        asked={request: frozenset(pseudonyms(session.key, ids)) for request, ids in expected.asked.items()},
        running=tuple(str(run.info.run_id) for run in runs),
    )


def _missing_evidence(session: object, run: str, digest: str) -> Iterator[str]:
    """What lacks of one audit: the file that the ledger names, and the report."""
    store = session.store  # type: ignore[attr-defined]
    audit = store.run_artifact(run, "audit.json")
    if audit is None or hashlib.sha256(audit).hexdigest() != digest:
        yield "its audit.json is gone, or is not the one that the ledger names"
    report = store.run_artifact(run, "report.html")
    if not (report or b"").rstrip().endswith(b"</html>"):
        yield "its report.html is gone or cut"


def find_defects(facts: Facts, expected: Expected) -> list[str]:
    """Where the store does not say what was asked for; empty where it does."""
    champion = expected.promoted[-1] if expected.promoted else None
    found = [*facts.missing]
    found += _differs("the alias 'champion'", facts.alias, champion)
    found += _differs("the promotions in the ledger", facts.moves, expected.promoted)
    found += ["a promotion has begun and not ended"] * facts.unended
    found += [f"request {text} is entered more than once" for text in facts.repeated]
    found += [f"run {text} is said to run, and no command does" for text in facts.running]
    return [*found, *_request_defects(facts, expected)]


def _differs(what: str, found: object, wanted: object) -> list[str]:
    return [] if found == wanted else [f"{what}: {found}, expected {wanted}"]


def _request_defects(facts: Facts, expected: Expected) -> Iterator[str]:
    for request, rows in facts.asked.items():
        if request not in facts.requests:
            yield f"request {request} is lost"
        elif facts.requests[request] != rows:
            yield f"request {request} names other rows than were asked for"
        if facts.listed.get(request) != (request in expected.served):
            yield f"request {request} is {'listed as served' if facts.listed.get(request) else 'not listed as served'}"
    yield from (f"request {request} was never asked for" for request in sorted(facts.requests.keys() - facts.asked.keys()))
    wanted = frozenset[str]().union(*(facts.asked[request] for request in expected.served))
    if facts.union != wanted:
        yield (
            f"the champion's record has {len(facts.union - wanted)} rows that no served request names, and lacks"
            f" {len(wanted - facts.union)} that one does"
        )
