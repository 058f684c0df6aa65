"""What the registry's pages say of an audited version and of its model: written with each audit and promotion.

Anybody with edit rights can change these pages.  What was written is on record: description, tags and metrics of a version as
artifacts of its audit, which the attestation covers, the description of a model by its digest in the ledger.  ``verify``
compares; no command decides anything by a page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from grmu_audit.errors import IntegrityError
from grmu_audit.evidence.attestation import DESCRIPTION_FILE, PAGE_FILE, REPORT_FILE
from grmu_audit.records import CANDIDATE, Audit
from grmu_audit.tracking.ledger import append_entry, read_ledger
from grmu_audit.tracking.names import COSTS, finite_part
from grmu_audit.utils import canonical_json, sha256_hex

if TYPE_CHECKING:
    from grmu_audit.evidence.ledger import Entry, Ledger, LedgerEntry
    from grmu_audit.records import ModelRef
    from grmu_audit.tracking.audits import Evidence
    from grmu_audit.tracking.store import Run, Store

SCHEMA = "grmu-audit/page/v1"
"""Schema name and version of the record of a version's tags and metrics."""
PAGE_TAGS = ("verdict", "policy", "level", "audited", "valid_until")
"""Tags of an audited version that are there for people."""


def page_tags(audit: Audit) -> dict[str, str]:
    """The tags for people: verdict, policy with the head of its digest, level, and the days of the audit and of its expiry.

    What an audit has not is ``none``: a tag of an earlier audit must not remain.
    """
    verdict, record = audit.verdict, audit.record
    found = {
        "verdict": verdict.decision.value if verdict else "not judged",
        "policy": verdict.policy_label if verdict else None,
        "level": record.get("level"),
        "audited": str(record.get("created") or "").partition("T")[0],
        "valid_until": str(record.get("expires") or "").partition("T")[0],
    }
    return {name: str(found[name] or "none") for name in PAGE_TAGS}


def log_page(run: Run, ref: ModelRef, audit: Audit) -> bytes:
    """Log an audit's metrics in the run and on a logged model; the record of these and of the tags, as an artifact."""
    metrics = {value.name: value.value for value in audit.metrics if value.subject == CANDIDATE and value.group is None}
    logged = run.log_audit(ref, metrics, (audit.data.name or "unnamed", audit.data.manifest_sha256))
    shown = {"tags": page_tags(audit), "metrics": finite_part(metrics)[0], "logged_model": logged}
    return canonical_json({"schema": SCHEMA, **shown})


def write_page(store: Store, run_id: str, ref: ModelRef, files: Mapping[str, bytes]) -> None:
    """Write description and tags of a version, as the artifacts of its audit say."""
    if DESCRIPTION_FILE in files:
        store.describe(ref, files[DESCRIPTION_FILE].decode(), run_id=run_id, artifact=REPORT_FILE)
    store.tag(ref, json.loads(files[PAGE_FILE])["tags"])


def check_page(store: Store, evidence: Evidence) -> None:
    """Compare the pages of a version with what was written with its newest audit.

    Early audits have no record of their description, tags or metrics, which are not compared then.

    Raises:
        IntegrityError: something was edited; it is named.
    """
    if edited := list(_edited(store, evidence)):
        label = evidence.ref.label
        raise IntegrityError(
            f"on the registry's pages of {label}, {', '.join(edited)} are not what its newest audit wrote: they were edited;"
            f" read the report, and run 'grmu-audit audit --model {label}' to write them anew"
        )


def _edited(store: Store, evidence: Evidence) -> Iterator[str]:
    ref, run_id = evidence.ref, evidence.run_id
    kept = store.run_artifacts(run_id, (DESCRIPTION_FILE, PAGE_FILE))
    text, page = kept[DESCRIPTION_FILE], kept[PAGE_FILE]
    if text is not None and not store.described(ref, text.decode("utf-8", "replace"), run_id=run_id, artifact=REPORT_FILE):
        yield "the description"
    if page is None:
        return
    try:
        tree: dict[str, Any] = json.loads(page)
        tags, metrics, logged = dict(tree["tags"]), dict(tree["metrics"]), str(tree["logged_model"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{PAGE_FILE} of {ref.label} is damaged ({type(error).__name__})") from None
    now = store.tags(ref)
    yield from (f"tag {key!r}" for key in PAGE_TAGS if now.get(key) != tags.get(key))
    if {name: value for name, value in store.run_metrics(run_id).items() if name not in COSTS} != metrics:
        yield "the metrics of the audit's run"
    if store.logged_metrics(logged) != sorted(metrics.items()):
        yield "the metrics of the logged model"


def append_with_page(store: Store, ledger: Ledger, entry: Entry, ref: ModelRef) -> LedgerEntry:
    """Append an entry that changes what the model's page says, and write the page.

    The page is written first: a promotion that is killed in between stays open, and is finished by ``resume``.
    """
    text = model_description(store, ledger, entry)
    store.describe_model(ref.name, text)
    return append_entry(store, replace(entry, page_sha256=sha256_hex(text.encode())), ref)


def model_description(store: Store, ledger: Ledger, entry: Entry) -> str:
    """The description of a model after an entry: champion, verdict of every audited version, what its champion's audit says."""
    from grmu_audit.report import AuditedVersion, render_model_description

    entries = [*(numbered.entry for numbered in ledger.entries), entry]
    audits = {found.version: found for found in entries if found.kind == "audit"}
    champion = entry.version if entry.kind == "done" else ledger.state.champion
    rows = [
        AuditedVersion(ref.version, ref.made, audits[ref.version].decision, audits[ref.version].time.partition("T")[0])
        for ref in reversed(store.versions(ledger.model))
        if ref.version in audits
    ]
    told = store.run_artifact(str(audits[champion].audit_run), DESCRIPTION_FILE) if champion in audits else None
    return render_model_description(ledger.model, rows, champion, (told or b"").decode("utf-8", "replace"))


def check_model_page(store: Store, name: str) -> None:
    """Compare a model's description with the newest one that its ledger names; early models have none.

    Raises:
        IntegrityError: it was edited, or the ledger is damaged.
    """
    written = [numbered for numbered in read_ledger(store, name).entries if numbered.entry.page_sha256]
    # two that write at the same time have not seen each other's entry, and either page may have come last
    last = {numbered.entry.page_sha256 for numbered in written if numbered.number > written[-1].entry.previous}
    if written and sha256_hex(store.model_description(name).encode("utf-8", "surrogatepass")) not in last:
        raise IntegrityError(
            f"the description of the model {name} in the registry is not the one that was written: it was edited; the next audit"
            " or promotion writes it anew"
        )
