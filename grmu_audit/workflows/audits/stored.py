"""Stored audits: the newest one of a version, what happened since, and its evidence bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grmu_audit.auditing import stored_predictions
from grmu_audit.auditing.evidence_files import LEDGER_FILE, README_FILE, RENUMBERED_FILE, RENUMBERED_SCHEMA, bundle_readme
from grmu_audit.errors import InconclusiveError, IntegrityError
from grmu_audit.evidence.archive import pack
from grmu_audit.evidence.attestation import (
    ATTESTATION_FILE,
    AUDIT_FILE,
    COUNTS_STATEMENT_FILE,
    LEDGER_STATEMENT_FILE,
    POLICY_FILE,
    REPORT_FILE,
    TABLES,
    counts_statement,
    ledger_statement,
    subjects_of,
    table_name,
    tables_of,
    verdict_statement,
)
from grmu_audit.evidence.ledger import TAG_ENTRY, TAG_ENTRY_KIND, TAG_ENTRY_SHA256, Entry, Ledger
from grmu_audit.evidence.purges import purge_state
from grmu_audit.evidence.signing import configured_signer, open_envelope, sign_envelope
from grmu_audit.records import CANDIDATE, Audit, Decision, ModelRef
from grmu_audit.records.audit import EXTERNAL, INTERNAL
from grmu_audit.tracking import Evidence, Store, check_attestation, read_evidence, read_ledger
from grmu_audit.tracking.ledger import log_name
from grmu_audit.tracking.names import PREDICTIONS
from grmu_audit.utils import canonical_json, sha256_hex, write_atomic

COUNTS = "counts"
"""Level of disclosure of a bundle with counts of answers in place of predictions."""


def export_bundle(store: Store, model: str, out: Path, disclosure: str = INTERNAL) -> str:
    """Write the bundle; the same evidence gives the same bytes.  People whom an earlier version numbered are numbered anew.

    Args:
        store: the tracking store.
        model: reference of an audited version.
        out: the archive to write.
        disclosure: ``internal`` with predictions and exact counts, ``counts`` with counts of answers in place of predictions, or
            ``external``, what may be given to anybody.

    Returns:
        SHA-256 of the archive.

    Raises:
        InputError: there are more rows than counts may stand for.
        InconclusiveError: the version was never audited, the audit was not judged, or an earlier version stored rows of its
            tables in the order of the data.
        IntegrityError: something stored is not what was recorded; nothing is written.
    """
    evidence = read_evidence(store, store.resolve(model))
    if evidence.attestation_sha256 is None:
        raise InconclusiveError(f"the audit of {evidence.ref.label} was not attested: audit it again with a policy")
    check_attestation(store, evidence)
    files = _external(store, evidence) if disclosure == EXTERNAL else _internal(store, evidence)
    if disclosure == COUNTS:
        files = _with_counts(evidence, files)
    content = pack({**files, **_ledger(store, evidence)})
    write_atomic(out, content, mode=0o600)  # it holds predictions, and request data in the report
    return sha256_hex(content)


def _internal(store: Store, evidence: Evidence) -> dict[str, bytes]:
    """The evidence as it was attested, with the page for its reader.

    Raises:
        InconclusiveError: it gives the forget set away, or a table in it was purged.
    """
    if "seed" in evidence.audit.forget.request:
        raise InconclusiveError(
            f"the audit of {evidence.ref.label}, of an earlier version of this tool, names the seed that the forget list was"
            " sampled with, which gives the list to anyone who has the data: run 'grmu-audit audit --model"
            f" {evidence.ref.label}', then export"
        )
    return _without_order(_artifacts(store, evidence), evidence.ref) | {README_FILE: bundle_readme(evidence.audit)}


def _external(store: Store, evidence: Evidence) -> dict[str, bytes]:
    """The external form of the audit with a statement of its own: the audit's statement has digests that reveal exact counts."""
    from grmu_audit import report
    from grmu_audit.auditing.audit_files import as_read_back
    from grmu_audit.auditing.disclosure.external_form import external_form

    form = as_read_back(external_form(evidence.audit, evidence.sha256))
    files = {
        AUDIT_FILE: canonical_json(form.to_json()),
        REPORT_FILE: report.render(form, "html").encode(),
        POLICY_FILE: _artifact(store, evidence, POLICY_FILE),
    }
    payload = verdict_statement(form, {name: sha256_hex(content) for name, content in files.items()})
    return {**files, ATTESTATION_FILE: sign_envelope(payload, configured_signer()), README_FILE: bundle_readme(form)}


def _with_counts(evidence: Evidence, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The evidence with counts in place of everything that has one entry a sample."""
    from grmu_audit.auditing.disclosure.counts import COUNTS_FILE, count_answers, is_left_out

    audit = evidence.audit
    attested = subjects_of(open_envelope(files[ATTESTATION_FILE]).payload)
    counts = count_answers(
        stored_predictions.stored_inputs(audit, files), {name: digest for name, digest in attested.items() if is_left_out(name)}
    ).to_json()
    named = {COUNTS_FILE: sha256_hex(counts), AUDIT_FILE: sha256_hex(files[AUDIT_FILE])}
    statement = sign_envelope(counts_statement(audit.subject.label, named), configured_signer())
    kept = {name: content for name, content in files.items() if not is_left_out(name) and name != RENUMBERED_FILE}
    return {**kept, COUNTS_FILE: counts, COUNTS_STATEMENT_FILE: statement, README_FILE: bundle_readme(audit, counts=True)}


def _artifacts(store: Store, evidence: Evidence) -> dict[str, bytes]:
    tables, state = tables_of(evidence.audit), purge_state(read_ledger(store, evidence.ref.name))
    for ref in tables.values():
        if state.before(ref.version, evidence.number):
            raise InconclusiveError(
                f"outputs of {ref.label} in the audit of {evidence.ref.label} were purged since, so that nobody can compute it"
                f" again: run 'grmu-audit audit --model {evidence.ref.label}', then export; or give --disclosure external"
            )
    envelope = _artifact(store, evidence, ATTESTATION_FILE)
    named = [name for name in subjects_of(open_envelope(envelope).payload) if not name.startswith("models:/")]
    return {ATTESTATION_FILE: envelope, **{name: _artifact(store, evidence, name) for name in named}}


def _without_order(files: dict[str, bytes], ref: ModelRef) -> dict[str, bytes]:
    """The files with new numbers for people whose numbers follow the order of the data, and the record of that."""
    orders = {name: stored_predictions.order_of_data(files[name], name) for name in files if name.startswith(f"{TABLES}/")}
    if "rows" in orders.values():
        raise InconclusiveError(
            f"the rows of the predictions of {ref.label} are stored in the order of the data, so that anyone who has the "
            f"data reads the forget set from them: run 'grmu-audit audit --model {ref.label}', then export"
        )
    others = {name: stored_predictions.renumbered(files[name]) for name, order in orders.items() if order}
    if not others:
        return files
    digests = {name: {"attested_sha256": sha256_hex(files[name]), "sha256": sha256_hex(new)} for name, new in others.items()}
    record = canonical_json({"schema": RENUMBERED_SCHEMA, "tables": digests})
    return {**files, **others, RENUMBERED_FILE: record}


def order_warning(store: Store, name: str) -> str:
    """A sentence on the versions of which an earlier version of this tool stored what gives the forget set to anyone who has the
    data; empty where there are none.

    Raises:
        IntegrityError: a table cannot be read, or the ledger is damaged.
    """
    ledger, found = read_ledger(store, name), list[str]()
    for ref in store.versions(name):
        newest = ledger.newest_audit(ref.version)
        places = [(ref.run_id, PREDICTIONS)]
        places += [(newest.audit_run, table_name(CANDIDATE))] if newest else []
        contents = [(store.run_artifact(run, table), table) for run, table in places if run]
        if any(content and stored_predictions.order_of_data(content, table) for content, table in contents):
            found.append(ref.label)
    if not found:
        return ""
    return (
        f"{', '.join(found)}: the stored predictions, of an earlier version of this tool, number people in the order of the data:"
        " anyone who has the data and a file of this store finds the forget set; give away only what 'evidence export' writes,"
        " which numbers them anew"
    )


def _artifact(store: Store, evidence: Evidence, name: str) -> bytes:
    content = store.run_artifact(evidence.run_id, name)
    if content is None:
        raise IntegrityError(f"{name} of the audit of {evidence.ref.label} is gone from the store")
    return content


def _ledger(store: Store, evidence: Evidence) -> dict[str, bytes]:
    name, version = evidence.ref.name, evidence.ref.version
    last = max(n.number for n in read_ledger(store, name).entries if n.entry.version == version)
    keys = (TAG_ENTRY, TAG_ENTRY_KIND, TAG_ENTRY_SHA256)
    entries = store.entries(log_name(name))[:last]
    rows = [{"number": entry.number, "tags": {key: entry.tags[key] for key in keys}} for entry in entries]
    content = canonical_json(rows)
    statement = ledger_statement(name, len(rows), (LEDGER_FILE, sha256_hex(content)))
    return {LEDGER_FILE: content, LEDGER_STATEMENT_FILE: sign_envelope(statement, configured_signer())}


def newest_audit(store: Store, ref: ModelRef) -> tuple[Audit, dict[str, Any]]:
    """The newest audit of a version, and what the ledger says since.

    Raises:
        InconclusiveError: the version was never audited.
        IntegrityError: the stored audit, its index, the ledger, or the version's files were changed.
    """
    evidence = read_evidence(store, ref)
    return evidence.audit, ledger_since(store, evidence.audit, evidence.sha256)


def ledger_since(store: Store, audit: Audit, audit_sha256: str) -> dict[str, Any]:
    """Fields for the Request, Decision and Sign-off blocks of a report; what has not happened is left out.

    Args:
        store: whose ledger is read.
        audit: the newest audit of a version.
        audit_sha256: digest of its bytes, which sign-offs cover.

    Returns:
        ``sign_off`` (person, date and note by role, and who signed with a key), ``answered_at``, ``current_champion``,
        ``next_champion``, ``without_forgetting_claim`` and ``rollback_target``.

    Raises:
        IntegrityError: the ledger or a sign-off in it was changed.
    """
    ledger, ref = read_ledger(store, audit.subject.name), audit.subject
    champion = ledger.state.champion
    passed = audit.verdict is not None and audit.verdict.decision is Decision.PASS
    target = champion if champion != ref.version else _champion_before(ledger, ref.version)
    found: dict[str, Any] = {
        "sign_off": _sign_off(ledger, ref.version, ref.label, audit_sha256),
        "answered_at": _answered(store, ledger, audit),
        "current_champion": f"{ref.name}/{champion}" if champion else None,
        "next_champion": ref.label if passed and champion != ref.version else None,
        "without_forgetting_claim": _unclaimed(ledger, ref.version),
        "rollback_target": f"{ref.name}/{target}" if target else None,
    }
    return {key: value for key, value in found.items() if value}


def _sign_off(ledger: Ledger, version: str, label: str, audit_sha256: str) -> dict[str, str]:
    from grmu_audit.evidence.sign_offs import check_statement, sign_offs

    shown: dict[str, str] = {}
    signatures = []
    for role, entry in sign_offs(ledger, version, audit_sha256).items():
        check_statement(entry, label)
        shown[role] = _named(entry)
        keys = open_envelope(str(entry.envelope).encode()).keyids
        signatures.append(f"{role}: {'Ed25519 key ' + keys[0][:16] if keys else 'unsigned'}")
    if signatures:
        shown["signature"] = "; ".join(signatures)
    return shown


def _named(entry: Entry) -> str:
    note = f": {entry.reason}" if entry.reason else ""
    account = f" (account {entry.account})" if entry.account else ""
    return f"{entry.actor}{account}, {entry.time[:10]}{note}"


def _answered(store: Store, ledger: Ledger, audit: Audit) -> str | None:
    """Date of the last answer, once all requests of the audit are answered."""
    from grmu_audit.workflows.erasure import open_requests

    wanted = audit.forget.request.get("request_ids")
    answers = {n.entry.request for n in ledger.entries if n.entry.kind == "answer"}
    if not isinstance(wanted, list) or not wanted or not answers.issuperset(wanted):
        return None
    own = [r for r in open_requests(store, ledger.model) if audit.subject.version in r.versions and r.record.request_id in wanted]
    times = [one.answered_at for one in own if one.answered_at is not None]
    return max(times)[:10] if times and len(times) == len(own) else None


def _unclaimed(ledger: Ledger, version: str) -> str | None:
    """Why the version was promoted although its verdict claims nothing on forgetting, by its newest promotion."""
    done = [n.entry for n in ledger.entries if n.number in ledger.state.ended and n.entry.version == version]
    return done[-1].without_forgetting_claim if done else None


def _champion_before(ledger: Ledger, version: str) -> str | None:
    """The champion that the version replaced, by its newest promotion that took place."""
    state = ledger.state
    done = [n.entry for n in ledger.entries if n.sha256 in state.owners and n.number in state.ended]
    steps = [entry for entry in done if entry.version == version]
    return steps[-1].champion_before if steps else None
