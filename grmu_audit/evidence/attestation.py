"""A verdict, and a person's signature under it, as in-toto statements: what was judged, by what, and how it came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.evidence.ledger import LedgerHead
from grmu_audit.records import (
    BASELINE,
    CANDIDATE,
    EARLIER_SCHEMA,
    ROOT,
    Audit,
    Decision,
    ModelRef,
    RuleOutcome,
    Subject,
    Verdict,
    reference,
)
from grmu_audit.utils.digests import canonical_json, parse_json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
"""Type of every statement."""
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
"""Predicate type of a verdict."""
FORGETTING = "urn:grmu-audit:forgetting:v1"
"""Field of a verdict's predicate: what the audit knows of forgetting beyond rules."""
SIGN_OFF = "urn:grmu-audit:sign-off:v1"
"""Predicate type of a sign-off."""
ATTESTATION_FILE = "attestation.dsse.json"
"""Artifact of an audit run: the envelope around the verdict's statement."""
LEDGER = "urn:grmu-audit:ledger:v1"
"""Predicate type of the statement on how far a bundle's ledger reaches, and field of a verdict's: the ledger that it was entered
in, by its running hash."""
LEDGER_STATEMENT_FILE = "ledger.dsse.json"
"""In a bundle: the envelope around that statement, signed by who exported it."""
COUNTS = "urn:grmu-audit:counts:v1"
"""Predicate type of the statement on the counts that stand in a bundle in place of its tables."""
COUNTS_STATEMENT_FILE = "counts.dsse.json"
"""In such a bundle: the envelope around that statement, signed by who exported it."""
DESCRIPTION_FILE = "description.md"
"""What the registry's page of the audited version says, without its link."""
PAGE_FILE = "page.json"
"""What else the registry's pages say of the audited version: tags for people, and metrics."""
POLICY_FILE = "policy.json"
"""The policy as judged, canonical JSON; its SHA-256 is the policy digest."""
REPORT_FILE = "report.html"
"""The report for people."""
QUALITY_FILE = "data_quality.json"
"""Results of the quality checks, canonical JSON."""
ROWS_READ_FILE = "rows_read.json"
"""Of a retrained version: counts of the rows that its run read, and pseudonyms of the training rows that it did not."""
AUDIT_FILE = "audit.json"
"""The verdict document in canonical form."""
PURGE_FILE = "purge.json"
"""Artifact of a run of ``requests purge``: what it deletes, with digests; a sign-off of a purge names the digest of its plan."""
TABLES = "predictions"
"""Folder of the stored tables of predictions."""


def table_name(subject: Subject) -> str:
    """File of one model's predictions.

    >>> from grmu_audit.records import reference
    >>> table_name(reference(1))
    'predictions/reference-1.parquet'
    """
    return f"{TABLES}/{str(subject).replace('#', '-')}.parquet"


def tables_of(audit: Audit) -> dict[str, ModelRef]:
    """The stored tables of an audit by file, each with the version whose predictions it holds."""
    found = {CANDIDATE: audit.subject, BASELINE: audit.baseline, ROOT: audit.root}
    found |= {reference(number): ref for number, ref in enumerate(audit.references, 1)}
    return {table_name(subject): ref for subject, ref in found.items() if ref is not None}


def verdict_statement(audit: Audit, files: Mapping[str, str], ledger: LedgerHead | None = None) -> bytes:
    """The verdict of an audit as a test-result statement in canonical JSON.

    Args:
        audit: judged facts.
        files: SHA-256 by name of everything that the verdict depends on or that shows it; ``audit.json`` among them.
        ledger: the ledger that it is entered in, as it was before; what signs the verdict vouches for these entries, too.

    Returns:
        ``result`` is PASSED, WARNED (passed, with a waived breach or an unmet warn rule) or FAILED (breached or undecided).
        The field ``FORGETTING`` says whether exact evidence was verified, whether nothing was done, and the verdict on every
        control; an audit of the earlier schema, which measured none of these, does not have it.

    Raises:
        InputError: the audit has no verdict.
    """
    verdict = audit.verdict
    if verdict is None:
        raise InputError(f"the audit of {audit.subject.label} has no verdict: nothing can be attested")
    marks = {rule.id: _mark(rule) for rule in verdict.rules if rule.applied and rule.severity != "inform"}
    named = {kind: [rule for rule, mark in marks.items() if mark == kind] for kind in ("passed", "warned", "failed")}
    predicate: dict[str, Any] = {
        "result": _result(verdict.decision, bool(named["warned"])),
        "configuration": [{"name": POLICY_FILE, "digest": {"sha256": verdict.policy_sha256}}],
        **{f"{kind}Tests": rules for kind, rules in named.items()},
    }
    if audit.schema != EARLIER_SCHEMA:
        predicate[FORGETTING] = _forgetting(audit, verdict)
    if ledger is not None:
        predicate[LEDGER] = {"entries": ledger.entries, "sha256": ledger.sha256}
    return statement(TEST_RESULT, _with_model(audit, files), predicate)


def sign_off_statement(audit: Audit, audit_sha256: str, **said: str | None) -> bytes:
    """A person's signature under an audit, as a statement in canonical JSON.

    Args:
        audit: what is signed off.
        audit_sha256: digest of its bytes.
        said: ``role``, ``person``, ``time``, ``note`` and ``account``; what has no value is left out.
    """
    files = _with_model(audit, {AUDIT_FILE: audit_sha256})
    return statement(SIGN_OFF, files, {key: value for key, value in said.items() if value is not None})


def ledger_statement(model: str, entries: int, file: tuple[str, str]) -> bytes:
    """How many entries the ledger of a model had when it was exported, as a statement: a file with fewer was cut.

    Args:
        model: registered model.
        entries: number of the last entry in the file.
        file: name and SHA-256 of the file.
    """
    return statement(LEDGER, dict([file]), {"model": model, "entries": entries})


def counts_statement(model: str, files: Mapping[str, str]) -> bytes:
    """That counts were made from the tables of an audit, as a statement.

    Args:
        model: label of the audited version.
        files: SHA-256 by name of the counts and of the audit.
    """
    return statement(COUNTS, files, {"model": model})


def ledger_head_of(payload: bytes) -> LedgerHead | None:
    """The ledger that a verdict was entered in; None in a statement of before it was named.

    Raises:
        IntegrityError: not a statement of this tool, or it names a ledger in no known form.
    """
    predicate = read_statement(payload).get("predicate")
    told = predicate.get(LEDGER) if isinstance(predicate, dict) else None
    if told is None:
        return None
    try:
        head = LedgerHead(**told)
        known = type(head.entries) is int and head.entries >= 0 and type(head.sha256) is str
    except TypeError:
        known = False
    if not known:
        raise IntegrityError("an attestation names the ledger in no known form")
    return head


def subjects_of(payload: bytes) -> dict[str, str]:
    """SHA-256 by subject name.

    Raises:
        IntegrityError: not a statement of this tool.
    """
    tree = read_statement(payload)
    try:
        return {str(subject["name"]): str(subject["digest"]["sha256"]) for subject in tree["subject"]}
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"a statement names its subjects in no known form: {error}") from None


def read_statement(payload: bytes) -> dict[str, Any]:
    """A statement as a tree.

    Raises:
        IntegrityError: not canonical JSON, or not an in-toto statement.
    """
    try:
        tree = parse_json(payload)
        known = isinstance(tree, dict) and tree.get("_type") == STATEMENT_TYPE and canonical_json(tree) == payload
    except (ValueError, InputError):
        known = False
    if not known:
        raise IntegrityError("an attestation does not hold an in-toto statement in canonical form")
    return dict(tree)


def statement(kind: str, files: Mapping[str, str], predicate: dict[str, Any]) -> bytes:
    """An in-toto statement in canonical JSON.

    Args:
        kind: type of the predicate.
        files: SHA-256 by name of what it is about.
        predicate: what it says.
    """
    subjects = [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())]
    return canonical_json({"_type": STATEMENT_TYPE, "subject": subjects, "predicateType": kind, "predicate": predicate})


def _with_model(audit: Audit, files: Mapping[str, str]) -> dict[str, str]:
    """The files and the audited version, where its files have a digest."""
    digest = audit.subject.manifest_sha256
    return {**files, **({f"models:/{audit.subject.label}": digest} if digest else {})}


def _forgetting(audit: Audit, verdict: Verdict) -> dict[str, Any]:
    return {
        "exactEvidence": audit.exactly_verified,
        "nothingDone": audit.unchanged,
        "controls": [
            {"name": control.name, "null": control.null, "decision": control.decision.value} for control in verdict.controls
        ],
    }


def _mark(rule: RuleOutcome) -> str:
    if rule.decision is Decision.PASS:
        return "passed"
    return "failed" if rule.severity == "block" and not rule.waived else "warned"


def _result(decision: Decision, warned: bool) -> str:
    if decision is not Decision.PASS:
        return "FAILED"
    return "WARNED" if warned else "PASSED"
