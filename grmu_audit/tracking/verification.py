"""Whether everything is as recorded: for a scheduled job, and before a model is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from grmu_audit.errors import EnvironmentFailure, GrmuAuditError, IntegrityError, NotFoundError
from grmu_audit.evidence.ledger import Ledger
from grmu_audit.evidence.purges import purge_state
from grmu_audit.tracking import artifacts, names
from grmu_audit.tracking.audits import read_evidence
from grmu_audit.tracking.ledger import inspect_ledger, log_name
from grmu_audit.tracking.pages import check_model_page, check_page
from grmu_audit.tracking.promotion import alias_moved, unfinished_promotion
from grmu_audit.tracking.read_once import ReadOnce
from grmu_audit.tracking.references import require_model
from grmu_audit.tracking.registration import check_registration
from grmu_audit.tracking.requests import Lineages, purge_defects, require_no_reversal
from grmu_audit.tracking.requirements import NO_REQUIREMENTS, Requirements, check_attestation
from grmu_audit.tracking.store import Store


@dataclass(frozen=True)
class Finding:
    """One thing that ``verify`` found."""

    check: str
    """``ledger``, ``registry``, ``alias``, ``promotion``, ``evidence``, ``page``, ``purge``, ``registration``, ``request`` or
    ``outputs``.
    """
    message: str
    """What is wrong, and what to do."""
    error: GrmuAuditError
    """The same as an exception, with its exit code."""


TRIES = 3
"""How often a store that is being written to is checked before what was found counts."""


def verify(
    store: Store, name: str, *, now: datetime | None = None, requirements: Requirements = NO_REQUIREMENTS
) -> list[Finding]:
    """Everything that must hold between promotions; an empty list means that it does.

    Checks: the ledger's numbers, digests and chain; no promotion left open; the alias points where the ledger says; the
    champion's verdict, its expiry and the requirements; of every version that was ever audited, by the ledger or by its tags, its
    files, its newest audit, the attestation with all that it names, and the page that people read; the model's page; of every
    version its registration record with all that it names; of purged versions that nothing is left but the record, and that no
    purge is open; that no version was trained on rows of an earlier request of its lineage.  Versions that are older than
    registration records: ``unbound_versions``.

    Ledger and registry cannot be read at one moment: what seems wrong while somebody writes to the ledger is checked again.

    Raises:
        NotFoundError: the store knows no such model: there is nothing to check.
        EnvironmentFailure: the store cannot be reached.
    """
    findings: list[Finding] = []
    for _ in range(TRIES):
        once = ReadOnce(store)
        findings = _findings(once, name, now, requirements)
        if not findings or len(store.entries(log_name(name))) == len(once.entries(log_name(name))):
            break
    return findings


def _findings(store: Store, name: str, now: datetime | None, requirements: Requirements) -> list[Finding]:
    entries, defects = inspect_ledger(name, store.entries(log_name(name)))
    if defects:
        return [_finding("ledger", IntegrityError(f"the ledger of {name} is damaged: {defect}")) for defect in defects]
    try:
        require_model(store, name)
    except IntegrityError as error:
        return [_finding("registry", error)]
    ledger = Ledger(name, entries)
    state = ledger.state
    findings = [_finding("promotion", unfinished_promotion(name, state.open))] if state.open is not None else []
    alias = store.aliases(name).get(names.CHAMPION)
    if state.open is None and alias != state.champion:
        findings.append(_finding("alias", alias_moved(name, alias, state.champion)))
    audited = [n.entry.version for n in entries if n.entry.kind == "audit"]
    tagged = [ref.version for ref in store.versions(name) if names.TAG_AUDIT_RUN in store.tags(ref)]
    purges = purge_state(ledger)
    for version in dict.fromkeys([state.champion, *audited, *tagged]):
        if version is not None and (version == state.champion or purges.of(version) is None):
            findings += _version(store, ledger, version, now, requirements if version == state.champion else None)
            findings += _page(store, ledger, version)
    findings += _model_page(store, name)
    first: dict[str, Finding] = {}
    purged = (_finding("purge", error) for error in purge_defects(store, ledger))
    for finding in (*findings, *purged, *_registrations(store, ledger), *reversals(store, name)):
        first.setdefault(finding.message, finding)
    return list(first.values())


def _registrations(store: Store, ledger: Ledger) -> Iterator[Finding]:
    """Versions that are not what they were at registration."""
    by_run, purges = dict[str | None, str](), purge_state(ledger)
    for ref in store.versions(ledger.model):
        try:
            first = by_run.setdefault(ref.run_id, ref.label)
            if check_registration(store, ledger, ref) is not None:
                if purges.of(ref.version) is None:  # what is left of a purged version is compared with the record of its purge
                    artifacts.check_digest(ref, store.manifest_of(ref))
                if first != ref.label:
                    raise IntegrityError(f"{ref.label} names the run of {first}: no run creates two versions")
        except (IntegrityError, NotFoundError) as error:  # what is listed and cannot be read is damaged, too
            yield _finding("registration", IntegrityError(str(error)))


def reversals(store: Store, name: str) -> list[Finding]:
    """Versions of a model that were trained on rows that an earlier request of their lineage erased, and records that hide it."""
    lineages, findings = Lineages(store), list[Finding]()
    for ref in store.versions(name):
        try:
            require_no_reversal(lineages, ref)
        except IntegrityError as error:
            findings.append(_finding("request", error))
    return findings


def _version(
    store: Store, ledger: Ledger, version: str, now: datetime | None, requirements: Requirements | None
) -> list[Finding]:
    """Findings for one audited version; ``requirements`` for the champion, which must still meet them."""
    try:
        ref = store.resolve(f"{ledger.model}/{version}")
        if requirements is None:
            check_attestation(store, read_evidence(store, ref))
        else:
            requirements.check(store, ledger, ref, now)
    except EnvironmentFailure:
        raise
    except NotFoundError as error:
        gone = IntegrityError(f"{ledger.model}/{version}, which the ledger names, was deleted from the registry ({error})")
        return [_finding("evidence", gone)]
    except GrmuAuditError as error:
        return [_finding("evidence", error)]
    return []


def _page(store: Store, ledger: Ledger, version: str) -> list[Finding]:
    """A finding for a page that was edited; evidence that cannot be read is a finding of ``_version``."""
    try:
        evidence = read_evidence(store, store.resolve(f"{ledger.model}/{version}"))
    except EnvironmentFailure:
        raise
    except GrmuAuditError:
        return []
    try:
        check_page(store, evidence)
    except IntegrityError as error:
        return [_finding("page", error)]
    return []


def _model_page(store: Store, name: str) -> list[Finding]:
    try:
        check_model_page(store, name)
    except IntegrityError as error:
        return [_finding("page", error)]
    return []


def _finding(check: str, error: GrmuAuditError) -> Finding:
    return Finding(check, str(error), error)
