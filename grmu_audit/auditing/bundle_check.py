"""Checking an evidence bundle: offline, from its bytes alone, without MLflow, torch or Great Expectations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grmu_audit.auditing.bundle_files import audit_in, counts_in, ledger_in, member, policy_in, read_archive, renumbered_in
from grmu_audit.auditing.disclosure.count_check import recount
from grmu_audit.auditing.disclosure.counts import COUNTS_FILE, Counts, count_answers, is_left_out
from grmu_audit.auditing.disclosure.external_form import INTERNAL_SHA256, external_findings, external_form
from grmu_audit.auditing.evidence_files import LEDGER_FILE, README_FILE, RENUMBERED_FILE, bundle_readme
from grmu_audit.auditing.recomputation import recompute
from grmu_audit.auditing.stored_predictions import stored_inputs
from grmu_audit.errors import GrmuAuditError, InputError, IntegrityError
from grmu_audit.evidence.archive import unpack
from grmu_audit.evidence.attestation import (
    ATTESTATION_FILE,
    AUDIT_FILE,
    COUNTS_STATEMENT_FILE,
    LEDGER_STATEMENT_FILE,
    QUALITY_FILE,
    REPORT_FILE,
    counts_statement,
    ledger_head_of,
    ledger_statement,
    subjects_of,
    verdict_statement,
)
from grmu_audit.evidence.ledger import Ledger
from grmu_audit.evidence.sign_offs import check_statement, sign_offs
from grmu_audit.evidence.signing import open_envelope, signed_by
from grmu_audit.evidence.validity import require_valid_dates, require_valid_waivers
from grmu_audit.records import AUDIT_SCHEMA, Audit, Decision
from grmu_audit.utils import canonical_json, sha256_hex
from grmu_audit.utils.resources import VERSION

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey


_NOT_ATTESTED = (
    ATTESTATION_FILE, LEDGER_FILE, LEDGER_STATEMENT_FILE, README_FILE, RENUMBERED_FILE, COUNTS_FILE, COUNTS_STATEMENT_FILE,
)  # fmt: skip
"""Files of a bundle that its export adds."""


@dataclass(frozen=True)
class BundleCheck:
    """Result of checking a bundle."""

    sha256: str
    """SHA-256 of the archive."""
    findings: tuple[str, ...] = ()
    """Defects; empty if there are none."""
    notes: tuple[str, ...] = ()
    """Notes: parts that were not checked, and facts that a reader must know."""
    subject: str = ""
    """The audited version."""
    decision: Decision | None = None
    """The verdict, where it could be read."""
    signed: tuple[str, ...] = ()
    """Ids of the trusted keys that signed the verdict."""
    compared: int = 0
    """Numbers that were computed again from the predictions, or from their counts."""
    not_recomputed: tuple[str, ...] = ()
    """Of a bundle of counts: names of the metrics, rules and facts that nobody can compute again without the predictions."""


def verify_bundle(path: Path, keys: Sequence[SSlibKey] = (), expected: str | None = None) -> BundleCheck:
    """Check a bundle: archive, ledger, attestation, signatures, policy, report, and every number from the predictions.

    Args:
        path: the archive.
        keys: trusted public keys; with any, what is unsigned is a finding.
        expected: SHA-256 that the archive must have, where it is known from elsewhere.

    Raises:
        InputError: the file cannot be read.
    """
    return verify_bundle_bytes(read_archive(path), keys, expected)


def verify_bundle_bytes(content: bytes, keys: Sequence[SSlibKey] = (), expected: str | None = None) -> BundleCheck:
    """``verify_bundle`` for an archive in memory."""
    checked = BundleCheck(sha256_hex(content))
    if expected is not None and expected.lower() != checked.sha256:
        checked = _with(checked, f"the archive has the SHA-256 {checked.sha256}, not the expected {expected}")
    try:
        files, defects = unpack(content)
    except IntegrityError as error:
        return _with(checked, str(error))
    return _with(checked, *defects) if defects else _check_files(checked, files, keys)


def compare_forms(external: Path, internal: Path) -> tuple[str, ...]:
    """Findings where an external bundle, or one of counts, does not hold what follows from an internal bundle.

    Raises:
        InputError: a file cannot be read.
        IntegrityError: one of them is no bundle, or lacks a file that is compared; the internal archive was edited.
    """
    (form, _), (whole, defects) = (unpack(read_archive(path)) for path in (external, internal))
    try:
        if defects:
            raise IntegrityError("; ".join(defects))
        return tuple(_other_form(form, whole, internal))
    except IntegrityError as error:
        raise IntegrityError(f"{internal}: {error}") from None


def _other_form(form: Mapping[str, bytes], whole: Mapping[str, bytes], internal: Path) -> Iterator[str]:
    """Findings where one form of a bundle is not the one that is made from an internal bundle."""
    audit = audit_in(whole)
    if audit.external or COUNTS_FILE in whole:
        raise InputError(
            f"{internal} is {'an external bundle' if audit.external else 'a bundle of counts'}: give the internal one"
        )
    if COUNTS_FILE in form:
        yield from _other_counts(form, whole, internal.name)
    elif form.get(AUDIT_FILE) != canonical_json(external_form(audit, sha256_hex(whole[AUDIT_FILE])).to_json()):
        yield f"{AUDIT_FILE} is not the external form of the audit in {internal.name}"


def _other_counts(counted: Mapping[str, bytes], whole: Mapping[str, bytes], name: str) -> Iterator[str]:
    """Findings where a bundle of counts is not the one that is made from an internal bundle."""
    shared = (AUDIT_FILE, ATTESTATION_FILE)
    yield from (f"{file} is not the one in {name}" for file in shared if counted.get(file) != whole.get(file))
    audit, attested = audit_in(whole), subjects_of(open_envelope(member(whole, ATTESTATION_FILE)).payload)
    left_out = {file: digest for file, digest in attested.items() if is_left_out(file)}
    if counted[COUNTS_FILE] != count_answers(stored_inputs(audit, whole), left_out).to_json():
        yield f"{COUNTS_FILE} does not hold the counts of the predictions in {name}"


def _check_files(checked: BundleCheck, files: dict[str, bytes], keys: Sequence[SSlibKey]) -> BundleCheck:
    try:
        audit = audit_in(files)
        policy = policy_in(files, audit)
        ledger = ledger_in(files, audit)
        counts = counts_in(files, audit)
        signed = _attested(files, audit, keys, counts)
        cut = [*_length_findings(ledger, files, audit, keys), *_counts_findings(files, audit, keys)]
        findings = [*cut, *_ledger_findings(ledger, files, audit, keys), *_shown(files, audit)]
        findings += external_findings(audit, policy) if audit.external else []
    except GrmuAuditError as error:
        return _with(checked, str(error))
    decision = audit.verdict.decision if audit.verdict else None
    checked = replace(
        checked,
        subject=audit.subject.label,
        decision=decision,
        signed=signed,
        notes=(*_notes(files, audit, keys), *_people(ledger, files, audit, keys)),
    )
    if findings or audit.external:
        return _with(checked, *findings, *_expired(audit))
    if counts is not None:
        counted = recount(audit, policy, counts)
        found = _with(checked, *counted.findings, *_expired(audit))
        notes = (*checked.notes, *counted.notes)
        return replace(found, notes=notes, compared=counted.compared, not_recomputed=counted.not_recomputed)
    again = recompute(audit, policy, files)
    found = _with(checked, *again.findings, *_expired(audit))
    return replace(found, notes=(*checked.notes, *again.notes), compared=again.compared)


def _expired(audit: Audit) -> Iterator[str]:
    """What no longer holds although nothing was changed: the verdict, or a waiver that it rests on."""
    for require in (require_valid_dates, require_valid_waivers):
        try:
            require(audit)
        except GrmuAuditError as error:
            yield str(error)


def _with(checked: BundleCheck, *findings: str) -> BundleCheck:
    return replace(checked, findings=(*checked.findings, *findings))


def _length_findings(ledger: Ledger, files: Mapping[str, bytes], audit: Audit, keys: Sequence[SSlibKey]) -> Iterator[str]:
    """Whether the ledger is the one of which the export said how far it reaches."""
    if LEDGER_STATEMENT_FILE not in files:
        if _rendered_alike(audit):
            yield f"the bundle holds no {LEDGER_STATEMENT_FILE}: nothing shows that {LEDGER_FILE} was not cut"
        return
    envelope, digest = files[LEDGER_STATEMENT_FILE], sha256_hex(files[LEDGER_FILE])
    if open_envelope(envelope).payload != ledger_statement(ledger.model, ledger.last, (LEDGER_FILE, digest)):
        yield f"{LEDGER_FILE} is not the one that was exported: entries were removed, added or edited"
    elif keys and not signed_by(envelope, keys):
        yield f"{LEDGER_STATEMENT_FILE} is not signed by any of the {len(keys)} trusted keys: export with the signing key"


def _counts_findings(files: Mapping[str, bytes], audit: Audit, keys: Sequence[SSlibKey]) -> Iterator[str]:
    """Whether the counts are those of which the export said that they were made from the tables."""
    if COUNTS_FILE not in files:
        return
    named = {name: sha256_hex(files[name]) for name in (COUNTS_FILE, AUDIT_FILE)}
    envelope = files.get(COUNTS_STATEMENT_FILE)
    if envelope is None or open_envelope(envelope).payload != counts_statement(audit.subject.label, named):
        yield f"{COUNTS_FILE} is not the one that was exported, or there is no {COUNTS_STATEMENT_FILE} on it"
    elif keys and not signed_by(envelope, keys):
        yield f"{COUNTS_STATEMENT_FILE} is not signed by any of the {len(keys)} trusted keys: export with the signing key"


def _attested(files: Mapping[str, bytes], audit: Audit, keys: Sequence[SSlibKey], counts: Counts | None) -> tuple[str, ...]:
    """Ids of the trusted keys that signed, after the statement was found to fit every file."""
    payload = open_envelope(member(files, ATTESTATION_FILE)).payload
    named = {name: digest for name, digest in subjects_of(payload).items() if not name.startswith("models:/")}
    found = {name: sha256_hex(content) for name, content in files.items() if name not in _NOT_ATTESTED} | renumbered_in(files)
    found |= counts.left_out if counts else {}
    wrong = sorted(name for name in named.keys() | found.keys() if named.get(name) != found.get(name))
    if wrong:
        raise IntegrityError(f"the attestation does not cover {', '.join(wrong)} as they are in the bundle")
    if payload != verdict_statement(audit, found, ledger_head_of(payload)):
        raise IntegrityError("the attestation does not say what the audit says: result, rules or subject differ")
    signed = signed_by(files[ATTESTATION_FILE], keys)
    if keys and not signed:
        raise IntegrityError(f"the verdict is not signed by any of the {len(keys)} trusted keys")
    return signed


def _ledger_findings(ledger: Ledger, files: Mapping[str, bytes], audit: Audit, keys: Sequence[SSlibKey]) -> Iterator[str]:
    version, digest = audit.subject.version, _internal_sha256(files, audit)
    newest = ledger.newest_audit(version)
    verdict = audit.verdict
    if newest is None:
        yield f"{LEDGER_FILE} knows no audit of {audit.subject.label}"
        return
    attested = newest.attestation_sha256 if audit.external else sha256_hex(files[ATTESTATION_FILE])
    expected = (digest, attested, audit.subject.manifest_sha256, verdict and verdict.decision.value)
    found = (newest.audit_sha256, newest.attestation_sha256, newest.manifest_sha256, newest.decision)
    if found != expected or newest.policy_sha256 != (verdict and verdict.policy_sha256):
        yield f"the newest audit of {audit.subject.label} in {LEDGER_FILE} is another one than {AUDIT_FILE}"
    head = ledger_head_of(open_envelope(files[ATTESTATION_FILE]).payload)
    if head is not None and not ledger.begins_with(head):
        yield f"{LEDGER_FILE} does not begin with the {head.entries} entries that the attestation names: one was changed"
    for entry in sign_offs(ledger, version, digest).values():
        try:
            check_statement(entry, audit.subject.label)
            signed_by(str(entry.envelope).encode(), keys)
        except IntegrityError as error:
            yield str(error)


def _internal_sha256(files: Mapping[str, bytes], audit: Audit) -> str:
    """SHA-256 of the audit that ledger and sign-offs are about."""
    return str(audit.record.get(INTERNAL_SHA256)) if audit.external else sha256_hex(files[AUDIT_FILE])


def _shown(files: Mapping[str, bytes], audit: Audit) -> Iterator[str]:
    """What is derived from the audit must be what this tool derives from it."""
    from grmu_audit import report

    tables = {name for name in files if name.startswith("predictions/")}
    models = 0 if audit.external or COUNTS_FILE in files else len(audit.versions)
    if len(tables) != models:
        yield f"the bundle holds {len(tables)} tables of predictions, the audit names {models} models"
    quality = canonical_json(audit.to_json()["data_quality"]) if audit.data_quality and not audit.external else None
    if files.get(QUALITY_FILE) != quality:
        yield f"{QUALITY_FILE} is not what {AUDIT_FILE} holds"
    if not _rendered_alike(audit):
        return
    if files.get(REPORT_FILE) != report.render(audit, "html").encode():
        yield f"{REPORT_FILE} is not the report of {AUDIT_FILE}: rendered again it has other bytes"
    if files.get(README_FILE) != bundle_readme(audit, counts=COUNTS_FILE in files):
        yield f"{README_FILE} is not the one that this tool writes for {AUDIT_FILE}"


def _rendered_alike(audit: Audit) -> bool:
    """Whether this version renders the audit as the one that made it did."""
    return audit.record.get("tool") == f"grmu-audit {VERSION}" and audit.schema == AUDIT_SCHEMA


def _notes(files: Mapping[str, bytes], audit: Audit, keys: Sequence[SSlibKey]) -> Iterator[str]:
    yield from _signature_notes(open_envelope(files[ATTESTATION_FILE]).keyids, keys)
    if audit.external:
        yield (
            "external form: no number was computed again, because predictions are not in it; digests, signature, ledger, policy,"
            " report and the decision by its rules were checked, and --internal compares it with the internal bundle"
        )
    if COUNTS_FILE in files:
        yield "the predictions are not in this bundle: --internal shows whether its counts are those of the internal bundle"
    if count := len(renumbered_in(files)):
        yield f"{count} tables of predictions hold other numbers of people than those attested: compared by content, not by file"
    if not _rendered_alike(audit):
        made = f"{audit.record.get('tool')} (schema {audit.schema})"
        yield f"created by {made}, read by grmu-audit {VERSION} ({AUDIT_SCHEMA}): the report was not rendered again"
    if LEDGER_STATEMENT_FILE not in files:
        yield f"nothing shows that {LEDGER_FILE} was not cut: the bundle was exported before its length was stated"
    if audit.schema != AUDIT_SCHEMA:
        yield "not measured: controls; nothing shows whether the policy can tell this version from one that forgot nothing"
    if expires := audit.record.get("expires"):
        yield f"the verdict expires on {expires}"


def _signature_notes(keyids: Sequence[str], keys: Sequence[SSlibKey]) -> Iterator[str]:
    if not keyids:
        yield "unsigned: the bundle agrees with itself, but anyone who can rewrite all of it could have created it"
    elif not keys:
        yield f"signed by key {', '.join(keyids)}, not checked: give --public-key"


def _people(ledger: Ledger, files: Mapping[str, bytes], audit: Audit, keys: Sequence[SSlibKey]) -> Iterator[str]:
    """Who signed off, and whether a trusted key says so."""
    for role, entry in sign_offs(ledger, audit.subject.version, _internal_sha256(files, audit)).items():
        try:
            trusted = bool(signed_by(str(entry.envelope).encode(), keys))
        except IntegrityError:
            trusted = False
        how = "signed by a trusted key" if trusted else "not signed by a trusted key"
        account = f" (account {entry.account})" if entry.account else ""
        yield f"signed off as {role} by {entry.actor}{account} on {entry.time}, {how}"
