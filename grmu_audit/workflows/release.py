"""The last tasks of a version: gate, promote, roll back, sign off, verify, history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmu_audit import tracking
from grmu_audit.auditing import audit_files
from grmu_audit.errors import EnvironmentFailure, GrmuAuditError, InconclusiveError, IntegrityError, NotFoundError
from grmu_audit.evidence.validity import require_valid_dates
from grmu_audit.records import UNVERIFIED, Audit, ModelRef, NotMeasured
from grmu_audit.tracking import Actor, Author, Finding, Promotion, Requirements
from grmu_audit.workflows.session import Session

if TYPE_CHECKING:
    from grmu_audit.policy import Policy
    from grmu_audit.tracking.audits import Evidence


def gate(session: Session, model: str, policy: Policy, today: date | None = None) -> Audit:
    """Judge the stored audit of a version by a policy; nothing is measured and nothing is written.

    Raises:
        InconclusiveError: the version was never audited.
        IntegrityError: the stored audit, its index, or the version's files were changed.
    """
    from grmu_audit.policy.judgement import judge  # loads pydantic, which the other tasks here do without

    evidence = tracking.read_evidence(session.store, session.store.resolve(model))
    require_valid_dates(evidence.audit)
    return judge(evidence.audit, policy, today)


def gate_file(session: Session, path: Path, policy: Policy) -> Audit:
    """Judge an audit file by a policy, once its dates hold and the store, where there is one that knows it, holds the same bytes.

    Returns:
        The judged audit; under what was not measured it names ``UNVERIFIED`` where no store could be asked.

    Raises:
        InputError: the file is no audit.
        IntegrityError: it has expired or is dated in the future, or is not the newest audit of its version in the store.
        EnvironmentFailure: a store was named that cannot be asked.
    """
    from grmu_audit.policy.judgement import judge

    audit, digest = audit_files.read_audit_and_digest(path)
    require_valid_dates(audit)
    judged = judge(audit, policy)
    unverified = _unverified(session, audit, digest, path)
    missing = (NotMeasured(UNVERIFIED, unverified),) if unverified else ()
    return replace(judged, not_measured=(*missing, *judged.not_measured))


def _unverified(session: Session, audit: Audit, digest: str, path: Path) -> str:
    """Why a file was not compared with a store; empty once it was and agrees."""
    subject = audit.subject
    if not subject.version:
        return "it is about prediction files, which are in no registry: nothing but the file itself shows where it comes from"
    if not session.store_exists:
        return "no store was found: nothing but the file itself shows that it is the audit of this version"
    store = session.store
    if not (tracking.read_ledger(store, subject.name).last or store.versions(subject.name)):
        return f"{store.uri} has no model {subject.name}: nothing but the file itself shows that it is the audit of this version"
    try:
        evidence = tracking.read_evidence(store, store.resolve(subject.label))
    except (NotFoundError, InconclusiveError) as error:
        raise IntegrityError(f"{path} is not an audit that the store holds: {error}") from None
    if evidence.sha256 != digest:
        raise IntegrityError(
            f"{path} is not the newest audit of {subject.label} in {store.uri}, which has the SHA-256 {evidence.sha256[:16]}...:"
            f" it was edited, replaced by a later one, or judged again; use 'grmu-audit gate --model {subject.label}'"
        )
    return ""


def _stated(requirements: Requirements | None) -> Requirements:
    """The requirements, or those of an operator who states none."""
    return Requirements.read() if requirements is None else requirements


def promote(
    session: Session,
    model: str,
    reason: str = "",
    ci_url: str | None = None,
    requirements: Requirements | None = None,
    reopen: Sequence[str] = (),
) -> Promotion:
    """Make a version the champion, if its newest audit says PASS, its files are the audited ones, and the requirements hold.

    Args:
        session: store and actor.
        model: reference of the version.
        reason: why, for the ledger.
        ci_url: address of the CI run, for the ledger.
        requirements: what must hold beyond a PASS; by default a verdict by a policy that the operator listed.
        reopen: requests that champions have served and that become open again, by request id or digest.

    Raises:
        InputError: a request that is to be opened again is not lacking, or there is no reason.
        BreachError, InconclusiveError: there is no PASS.
        IntegrityError: a served request is lacking, something stored is not what was recorded, or another promotion came first.
    """
    actor = Actor(session.actor, reason, ci_url, tuple(reopen))
    return tracking.promote(session.store, model, actor, requirements=_with_networks(session, _stated(requirements)))


def resume(session: Session, name: str, requirements: Requirements | None = None) -> Promotion | None:
    """Finish the promotion that a crash left open, if the requirements hold; None when there is none.

    Raises:
        NotFoundError, IntegrityError: there is no such model, or its promotion cannot be finished.
    """
    tracking.require_model(session.store, name)
    required = _with_networks(session, _stated(requirements))
    return tracking.resume(session.store, name, Actor(session.actor), requirements=required)


def rollback(
    session: Session,
    name: str,
    reason: str,
    to: str | None = None,
    requirements: Requirements | None = None,
    reopen: Sequence[str] = (),
) -> Promotion:
    """Restore an earlier champion.

    Raises:
        InputError: no reason, or no earlier champion.
        BreachError, InconclusiveError, IntegrityError: as for ``promote``.
    """
    model = f"{name}/{to}" if to else name
    actor = Actor(session.actor, reason, reopen=tuple(reopen))
    return tracking.rollback(session.store, model, actor, requirements=_with_networks(session, _stated(requirements)))


def _with_networks(session: Session, requirements: Requirements) -> Requirements:
    """The requirements, with what a policy that asks for a new forward pass needs."""

    def repeat(evidence: Evidence, ref: ModelRef) -> object:
        from grmu_audit.workflows.measured_again import SAMPLE, check_audited  # loads torch: only where something is computed

        return check_audited(session, evidence, ref, SAMPLE)

    return replace(requirements, repeat_outputs=repeat)


def verify(session: Session, name: str, requirements: Requirements | None = None) -> list[Finding]:
    """Differences from the record, in ledger, alias, open promotions and evidence of every audited version; empty without any.

    Raises:
        NotFoundError: there is no such model.
    """
    return tracking.verify(session.store, name, requirements=_stated(requirements))


def repeat_outputs(session: Session, name: str) -> tuple[dict[str, int], list[Finding]]:
    """Compare the stored outputs of every version with a new forward pass on a random sample of rows.

    Returns:
        How many rows were compared by version, where they agree, and a finding for each version where they do not or cannot be
        compared.
    """
    from grmu_audit.workflows.measured_again import SAMPLE, check_outputs

    compared, findings = dict[str, int](), list[Finding]()
    for ref in tracking.require_model(session.store, name):
        try:
            compared[ref.label] = check_outputs(session, ref, SAMPLE)
        except EnvironmentFailure:
            raise
        except GrmuAuditError as error:
            findings.append(Finding("outputs", str(error), error))
    return compared, findings


def unbound(session: Session, name: str) -> list[str]:
    """Labels of the versions that were registered before registration records were kept, and have none yet."""
    from grmu_audit.tracking.registration import unbound_versions

    return [ref.label for ref in unbound_versions(session.store, tracking.read_ledger(session.store, name))]


def sign_off(session: Session, model: str, role: str, note: str = "") -> int:
    """Sign the newest audit of a version off in the actor's name; with the configured key, if there is one.

    Returns:
        Number of the ledger entry.

    Raises:
        InputError: the role is taken, or preparer and reviewer would be one person.
        InconclusiveError, IntegrityError: there is no audit to sign off, or it was changed.
    """
    from grmu_audit.evidence.signing import configured_signer

    ref = session.store.resolve(model)
    return tracking.sign_off(session.store, ref, role, Author(session.actor, configured_signer()), note).number


def history(session: Session, name: str) -> list[dict[str, Any]]:
    """Ledger entries of a model, oldest first, as plain fields; also of one that is lost from the registry.

    Raises:
        NotFoundError: there is neither a ledger nor a model of that name.
    """
    entries = tracking.read_ledger(session.store, name).entries
    if not entries:
        tracking.require_model(session.store, name)
    return [{"number": n.number, **asdict(n.entry), "sha256": n.sha256} for n in entries]
