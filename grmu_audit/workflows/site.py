"""A static register of all audits of a store, one folder that any web server or CI pages host can serve."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

from grmu_audit.errors import EnvironmentFailure, GrmuAuditError, InconclusiveError, NotFoundError
from grmu_audit.records import Audit, ModelRef
from grmu_audit.report import SiteEntry, SiteModel, SiteRequest, render_html, render_site
from grmu_audit.report.content.sentences import short_time
from grmu_audit.tracking import require_model
from grmu_audit.tracking.requests import UNNAMED
from grmu_audit.utils import sha256_hex, write_atomic
from grmu_audit.utils.clock import utc_now
from grmu_audit.workflows.audits.stored import newest_audit
from grmu_audit.workflows.erasure import open_requests
from grmu_audit.workflows.release import history
from grmu_audit.workflows.session import Session

REPORTS = "reports"
"""Folder of the reports inside the register."""


def write_site(
    session: Session,
    out: Path,
    *,
    names: Sequence[str] = (),
    branding: Path | None = None,
    templates: Path | None = None,
    today: date | None = None,
) -> int:
    """Write ``index.html`` and a report of each audited version.

    Args:
        session: store.
        out: folder; created where it is missing.  Files of an earlier register of the same versions are replaced.
        names: models to list; none: all.
        branding: branding file of the reports.
        templates: folder whose templates replace the tool's.
        today: date by which a request is overdue; None: the current UTC date.

    Returns:
        How many versions are listed.

    Raises:
        NotFoundError: there is no such model, or none at all; nothing is written.
        IntegrityError: a model that was asked for by name has a ledger, but is lost from the registry.
        EnvironmentFailure: the store stops answering; no index is written.
    """
    for name in names:
        require_model(session.store, name)
    if not (names or session.store.models()):
        raise NotFoundError(f"no model is registered in {session.store.uri}: there is nothing to list")
    models = []
    for name in names or session.store.models():
        aliases: dict[str, list[str]] = {}
        for alias, version in sorted(session.store.aliases(name).items()):
            aliases.setdefault(version, []).append(alias)
        versions = list(reversed(session.store.versions(name)))
        found = [(ref, *_audit(session, ref)) for ref in versions]
        entries = []
        for ref, audit, after, problem in found:
            page = _write(audit, after, ref, out, branding, templates) if audit is not None else ""
            entries.append(_entry(ref, audit, problem, page, tuple(aliases.get(ref.version, ()))))
        models.append(SiteModel(name, tuple(entries), tuple(_requests(session, name, entries)), tuple(_ledger(session, name))))
    when = today or date.fromisoformat(utc_now()[:10])
    write_atomic(out / "index.html", render_site(models, today=when, template_dir=templates).encode())
    return sum(len(model.entries) for model in models)


def _audit(session: Session, ref: ModelRef) -> tuple[Audit | None, dict[str, Any], str]:
    """The newest audit with what came after it, or why it cannot be relied on; neither where there never was one."""
    try:
        return *newest_audit(session.store, ref), ""
    except EnvironmentFailure:  # a store that does not answer says nothing about its evidence
        raise
    except InconclusiveError:
        return None, {}, ""
    except GrmuAuditError as error:
        return None, {}, str(error)


def _write(audit: Audit, after: dict[str, Any], ref: ModelRef, out: Path, branding: Path | None, templates: Path | None) -> str:
    """Write a report under a file name that is safe for any model name; returns its address in the register."""
    name = f"{quote(ref.name, safe='').replace('%', '_')[:80]}-{ref.version}-{sha256_hex(ref.label.encode())[:8]}.html"
    write_atomic(out / REPORTS / name, render_html(audit, template_dir=templates, branding=branding, after=after).encode())
    return f"{REPORTS}/{quote(name)}"


def _entry(ref: ModelRef, audit: Audit | None, problem: str, page: str, aliases: tuple[str, ...]) -> SiteEntry:
    verdict = audit.verdict if audit is not None else None
    state, word = ("breach", "EVIDENCE DAMAGED") if problem else ("not-judged", "NOT JUDGED" if audit else "NOT AUDITED")
    if verdict is not None:
        state, word = verdict.decision.value.lower(), verdict.decision.value
    method = " + ".join(part for part in (ref.method or "", "REWEIGHT" if ref.reweight else "") if part)
    created = short_time(audit.record.get("created")) if audit is not None else ""
    policy = verdict.policy_label if verdict is not None else ""
    return SiteEntry(ref.label, ref.role, method, state, word, policy, created, aliases, page, problem)


def _requests(session: Session, name: str, entries: Sequence[SiteEntry]) -> list[SiteRequest]:
    """The erasure requests of a model, by due date; rows of a forget list without an id stand as one forget set."""
    try:
        found = open_requests(session.store, name)
    except EnvironmentFailure:
        raise
    except GrmuAuditError as error:
        return [SiteRequest(f"damaged: {error}", name, "", "", "")]
    known = {entry.label: entry for entry in entries}
    shown = []
    for request in found:
        record = request.record
        labels = [f"{name}/{version}" for version in request.versions]
        best = max((known[label] for label in labels if label in known), key=_quality, default=None)
        label = best.label if best is not None else (labels[-1] if labels else "")
        identity = f"forget set of {label or name}" if record.request_id == UNNAMED else record.request_id
        dates = record.received_at or "", record.due_at or "", request.answered_at or ""
        shown.append(SiteRequest(identity, label, *dates, *((best.state, best.word) if best is not None else ())))
    return shown


def _quality(entry: SiteEntry) -> tuple[int, int]:
    """Sorting key of a request's versions: the best last."""
    order = {"pass": 3, "inconclusive": 2, "not-judged": 1}
    return order.get(entry.state, 0), int(entry.label.rpartition("/")[2])


def _ledger(session: Session, name: str) -> list[dict[str, str]]:
    fields = ("number", "time", "kind", "version", "decision", "actor", "reason")
    try:
        entries = history(session, name)
    except EnvironmentFailure:
        raise
    except GrmuAuditError as error:
        return [{"kind": "damaged", "reason": str(error)}]
    return [{key: str(entry.get(key) or "") for key in fields} for entry in reversed(entries)]
