"""A verdict as a stored document: written once, found again, and relied on only after everything about it was checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from grmu_audit.errors import BreachError, InconclusiveError, InputError, IntegrityError
from grmu_audit.evidence import attestation
from grmu_audit.evidence.attestation import verdict_statement
from grmu_audit.evidence.ledger import UNKNOWN_AUTHOR, Author, Entry, LedgerHead
from grmu_audit.evidence.purges import purge_state, require_not_purged
from grmu_audit.evidence.signing import sign_envelope
from grmu_audit.evidence.validity import require_valid_dates, require_valid_waivers
from grmu_audit.records import BASELINE, ROOT, Audit, Decision, ModelRef, RuleOutcome
from grmu_audit.tracking import artifacts, names, pages
from grmu_audit.tracking.ledger import read_ledger
from grmu_audit.tracking.read_once import ReadOnce
from grmu_audit.tracking.registration import check_registration
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.utils.clock import timestamp

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from grmu_audit.evidence.ledger import Ledger
    from grmu_audit.tracking.store import Run, Store

INDEX_TAGS = (names.TAG_AUDIT_RUN, names.TAG_AUDIT_SHA256, names.TAG_VERDICT, names.TAG_POLICY_SHA256)
"""Tags of a version that name its newest audit."""


@dataclass(frozen=True)
class Evidence:
    """An audit that may be relied on, as far as the store goes."""

    ref: ModelRef
    """The version that it is about."""
    audit: Audit
    """The document."""
    sha256: str
    """SHA-256 of its bytes."""
    run_id: str
    """Run that holds it."""
    attestation_sha256: str | None = None
    """SHA-256 of the envelope around its verdict's statement, as the ledger has it; None where there is none."""
    unbound: tuple[str, ...] = ()
    """Versions in it that had no registration record when it was made."""
    number: int = 0
    """Number of its ledger entry."""


def record_audit(store: Store, run: Run, audit: Audit, files: Mapping[str, bytes] = {}, author: Author = UNKNOWN_AUTHOR) -> str:
    """Store an audit under its run, attest its verdict, enter its digest in the ledger, and index it in the version's tags.

    Its metrics go to the run and to a logged model, and the pages of the version and of the model say what it found.

    Args:
        store: where.
        run: the open audit run.
        audit: the document.
        files: further files of the audit by artifact name (report, policy, predictions); the attestation covers them.
        author: who, and what signs the attestation.

    Returns:
        SHA-256 of the bytes of ``audit.json``.

    Raises:
        InputError, NotFoundError: the audited version is not registered; nothing is stored.
        IntegrityError: a version in it was purged while the audit ran; no outputs are left in the run.
    """
    ref = store.resolve(f"{audit.subject.name}/{audit.subject.version}")
    content = canonical_json(audit.to_json())
    digest = sha256_hex(content)
    stored = {**files, attestation.PAGE_FILE: pages.log_page(run, ref, audit), attestation.AUDIT_FILE: content}
    for artifact, data in stored.items():
        run.log_bytes(data, artifact)
    verdict = audit.verdict
    decision, policy = (verdict.decision.value, verdict.policy_sha256) if verdict else (None, None)
    ledger = read_ledger(store, ref.name)
    _require_no_purge_since(store, run, audit, stored)
    entry = ledger.new_entry(
        "audit",
        version=ref.version,
        audit_run=run.id,
        audit_sha256=digest,
        policy_sha256=policy,
        manifest_sha256=ref.manifest_sha256,
        decision=decision,
        attestation_sha256=_attest(run, audit, stored, ledger.head, author.signer),
        actor=author.name,
        time=timestamp(author.now),
    )
    pages.append_with_page(store, ledger, entry, ref)
    _require_no_purge_since(store, run, audit, stored)  # one that was entered just before; a later one sees this audit
    pages.write_page(store, run.id, ref, stored)
    store.tag(ref, dict(zip(INDEX_TAGS, _index(entry), strict=True)))
    return digest


def _require_no_purge_since(store: Store, run: Run, audit: Audit, files: Mapping[str, bytes]) -> None:
    """Return when the audit stores no outputs of a version that was purged while it ran; else remove all its outputs.

    Raises:
        IntegrityError: it does.
    """
    known = {str(BASELINE): audit.baseline, str(ROOT): audit.root}
    kept = {ref.label for role, ref in known.items() if ref is not None and role in audit.purged}
    now = ReadOnce(store)
    for ref in audit.versions:
        step = None if ref.label in kept else purge_state(read_ledger(now, ref.name)).of(ref.version)
        if step is not None:
            store.remove_files(run.id, sorted(name for name in files if name.startswith(f"{attestation.TABLES}/")))
            raise IntegrityError(
                f"{ref.label} was purged while the audit of {audit.subject.label} ran (ledger entry {step.number}): its outputs"
                " were not kept; audit again"
            )


def _attest(run: Run, audit: Audit, files: Mapping[str, bytes], ledger: LedgerHead, signer: CryptoSigner | None) -> str | None:
    """Store the envelope around the verdict's statement; its digest, or None without a verdict."""
    if audit.verdict is None:
        return None
    payload = verdict_statement(audit, {name: sha256_hex(content) for name, content in files.items()}, ledger)
    envelope = sign_envelope(payload, signer)
    run.log_bytes(envelope, attestation.ATTESTATION_FILE)
    return sha256_hex(envelope)


def read_evidence(store: Store, ref: ModelRef) -> Evidence:
    """The newest audit of a version: its bytes read again, their digest, their subject and the version's files compared.

    So are the registration records of the version, its baseline, its references and the root of its lineage, with what is stored
    of these now.

    Raises:
        InconclusiveError: the version was never audited, or was purged.
        IntegrityError: the document, its index, the ledger or the version's files do not agree.
    """
    tags = store.tags(ref)
    index = tuple(tags.get(name) for name in INDEX_TAGS)
    run_id, recorded = index[:2]
    ledger = read_ledger(store, ref.name)
    require_not_purged(ledger, [ref.version])
    entered = ledger.newest_audit(ref.version)
    if run_id is None and recorded is None and entered is None:
        raise InconclusiveError(f"{ref.label} was never audited: run 'grmu-audit audit --model {ref.label}'")
    if entered is None or index != _index(entered):
        raise IntegrityError(
            f"the tags of {ref.label} do not name the audit that the ledger names as its newest: they were edited, or an"
            f" older audit was put in place of a newer one; run 'grmu-audit audit --model {ref.label}'"
        )
    content = store.run_artifact(str(run_id), attestation.AUDIT_FILE)
    if content is None:
        raise IntegrityError(f"{attestation.AUDIT_FILE} of {ref.label} is gone: run {run_id} or its artifact was deleted")
    if sha256_hex(content) != recorded:
        raise IntegrityError(
            f"{attestation.AUDIT_FILE} of {ref.label} was changed after the audit: its bytes no longer have the recorded digest"
        )
    number = max(n.number for n in ledger.entries if n.entry is entered)
    evidence = Evidence(
        ref, _parse(content, ref), str(recorded), str(run_id), attestation_sha256=entered.attestation_sha256, number=number
    )
    _check_subject(store, evidence)
    return replace(evidence, unbound=_unbound(store, ledger, evidence))


def shown_before(store: Store, ledger: Ledger, ref: ModelRef, baseline: str) -> str:
    """The audit that showed what a version forgot before its baseline was purged, in words; an empty string where none did.

    It passed a policy that claims forgetting, and no later audit before the purge was anything but a PASS.

    Args:
        store: has the audits.
        ledger: of the model.
        ref: the version.
        baseline: number of the version before it.

    Raises:
        IntegrityError: an audit is gone or changed.
    """
    step = purge_state(ledger).of(baseline)
    judged = [n for n in ledger.entries if n.entry.kind == "audit" and n.entry.version == ref.version and n.entry.decision]
    for numbered in reversed([n for n in judged if step is not None and n.number < step.number]):
        entry = numbered.entry
        if entry.decision != Decision.PASS.value:
            return ""
        content = store.run_artifact(str(entry.audit_run), attestation.AUDIT_FILE) or b""
        if sha256_hex(content) != entry.audit_sha256:
            raise IntegrityError(f"{attestation.AUDIT_FILE} of {ref.label} (ledger entry {numbered.number}) is gone or changed")
        verdict = _parse(content, ref).verdict
        if verdict is not None and verdict.claims_forgetting:
            return f"the audit of {entry.time.partition('T')[0]} (ledger entry {numbered.number}) did, by {verdict.policy_label}"
    return ""


def require_pass(evidence: Evidence, now: datetime | None = None) -> None:
    """Refuse everything but an unexpired PASS that its rules bear out.

    Raises:
        BreachError: the policy is breached, or a waiver that covered a breach has expired.
        InconclusiveError: not judged, not decided, or no rule was applied.
        IntegrityError: the verdict has expired, or says PASS although its rules do not.
    """
    audit, label = evidence.audit, evidence.ref.label
    if audit.verdict is None:
        raise InconclusiveError(f"{label} was measured but not judged: run 'grmu-audit gate' with a policy, or audit it with one")
    verdict = audit.verdict
    blocking = [rule for rule in verdict.rules if rule.blocking]
    if verdict.decision is Decision.BREACH:
        raise BreachError(
            f"{label} breaches policy {verdict.policy_label}: {_named(blocking, Decision.BREACH)}; it is not promoted"
        )
    if verdict.decision is not Decision.PASS:
        undecided = _named(blocking, Decision.INCONCLUSIVE)
        raise InconclusiveError(f"policy {verdict.policy_label} does not decide {label}: {undecided}; it is not promoted")
    if not blocking:
        raise InconclusiveError(
            f"policy {verdict.policy_label} applied no blocking rule to {label}: a verdict without rules decides nothing"
        )
    unmet = [rule for rule in blocking if rule.decision is not Decision.PASS and not rule.waived]
    if unmet:
        raise IntegrityError(
            f"the verdict of {label} says PASS, but {', '.join(rule.id for rule in unmet)} did not pass: it is forged"
        )
    require_valid_dates(audit, now)
    require_valid_waivers(audit, now)


def _index(entered: Entry) -> tuple[str | None, ...]:
    """Tags that a version must have for its newest audit."""
    return (entered.audit_run, entered.audit_sha256, entered.decision or "none", entered.policy_sha256 or "none")


def _parse(content: bytes, ref: ModelRef) -> Audit:
    try:
        tree = json.loads(content)
        if canonical_json(tree) != content:
            raise IntegrityError(f"{attestation.AUDIT_FILE} of {ref.label} is not in canonical form: this tool did not write it")
        return Audit.from_json(tree)
    except (ValueError, InputError, RecursionError) as error:
        raise IntegrityError(f"{attestation.AUDIT_FILE} of {ref.label} cannot be read: {error}") from None


def _check_subject(store: Store, evidence: Evidence) -> None:
    subject, ref = evidence.audit.subject, evidence.ref
    if (subject.name, subject.version) != (ref.name, ref.version):
        raise IntegrityError(f"the audit that {ref.label} points at is about {subject.label}")
    if subject.manifest_sha256 is None or subject.manifest_sha256 != ref.manifest_sha256:
        raise IntegrityError(f"the audit of {ref.label} was computed from other files than the registered ones: audit it again")
    artifacts.check_digest(ref, store.manifest_of(ref))


def present_versions(store: Store, audit: Audit) -> list[ModelRef]:
    """The versions of an audit as they are registered now, in its order, as far as the store has them."""
    present = {ref.label: ref for ref in store.versions(audit.subject.name)}
    return [present[ref.label] for ref in audit.versions if ref.label in present]


def _unbound(store: Store, ledger: Ledger, evidence: Evidence) -> tuple[str, ...]:
    """Versions of the audit that were not bound when it was made, after the others were compared with their records.

    One that was deleted since is not compared: its outputs were, when the audit was made, and the attestation covers them.
    """
    unbound = list[str]()
    audited = {ref.label: ref.manifest_sha256 for ref in evidence.audit.versions}
    for ref in present_versions(store, evidence.audit):
        if audited[ref.label] not in (None, ref.manifest_sha256):
            raise IntegrityError(
                f"{ref.label} has other files than it had in the audit of {evidence.ref.label}: versions were exchanged"
            )
        found = check_registration(store, ledger, ref)
        if found is None or found.number > evidence.number:
            unbound.append(ref.label)
    return tuple(unbound)


def _named(rules: list[RuleOutcome], decision: Decision) -> str:
    found = [f"{rule.id} ({rule.reason})" for rule in rules if rule.decision is decision and not rule.waived]
    return "; ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "") if found else "no rule is named"
