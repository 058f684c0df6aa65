"""The register of all audits of a store: one page, offline, searchable; a script narrows the tables, nothing needs it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from grmu_audit.report.content.sentences import short_time
from grmu_audit.report.formats.html import render_page
from grmu_audit.report.wording.names import safe_name, safe_sentence
from grmu_audit.report.wording.strings import load_strings

SCRIPT = """\
const field = document.getElementById("search"), rows = [...document.querySelectorAll("[data-search]")];
const count = document.getElementById("count"), words = count.dataset.words;
field.closest("[hidden]").hidden = false;
field.addEventListener("input", () => {
  const wanted = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const hit = wanted.every((word) => row.dataset.search.includes(word));
    row.hidden = !hit;
    shown += hit;
  }
  count.textContent = words.replace("#", shown);
});
"""
"""The search of the register; its digest is in the page's content security policy."""


@dataclass(frozen=True)
class SiteEntry:
    """One version."""

    label: str
    """``name/version``."""
    role: str
    """``pretrain``, ``retrain``, ``unlearned``."""
    method: str
    """How it was created; empty when unknown."""
    state: str
    """Verdict as a style name: ``pass``, ``breach``, ``inconclusive``, ``not-judged``, or ``breach`` for damaged evidence."""
    word: str
    """Verdict in a word."""
    policy: str
    """Policy that judged it."""
    created: str
    """When it was audited."""
    aliases: tuple[str, ...] = ()
    """Aliases that point at it."""
    report: str = ""
    """Address of its report, relative to the register; empty when there is none."""
    problem: str = ""
    """Why its evidence cannot be relied on."""


@dataclass(frozen=True)
class SiteRequest:
    """One request to be forgotten."""

    identity: str
    """Request id as recorded, or the version that answers it."""
    version: str
    """Best version created for it: a PASS before what is undecided, that before the others; of equals the newest.

    Empty where none was created yet.
    """
    received: str
    """Date received."""
    due: str
    """Date due."""
    answered: str
    """Date answered; empty while it is open."""
    state: str = "not-judged"
    """Verdict on the version as a style name."""
    word: str = ""
    """The same in a word; empty where it was not looked up."""


@dataclass(frozen=True)
class SiteModel:
    """One registered model."""

    name: str
    """Its name."""
    entries: tuple[SiteEntry, ...]
    """Its versions, newest first."""
    requests: tuple[SiteRequest, ...] = ()
    """Requests that its audits record."""
    ledger: tuple[dict[str, str], ...] = ()
    """Ledger entries, newest first: ``number``, ``time``, ``kind``, ``version``, ``decision``, ``actor``, ``reason``."""


def render_site(models: Sequence[SiteModel], *, today: date, template_dir: Path | None = None) -> str:
    """The register as one HTML page.

    Args:
        models: what it lists.
        today: date by which a request is overdue.
        template_dir: a folder of the user's with its own ``site.html.j2``.
    """
    strings = load_strings(template_dir)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    listed = [(model, [(entry, _text(model, entry)) for entry in model.entries]) for model in models]
    requests = [request for model in models for request in model.requests]
    champions = [entry for model in models for entry in model.entries if "champion" in entry.aliases]
    waiting = sorted((r for r in requests if not r.answered), key=lambda r: (r.due or "9999", r.identity))
    return render_page(
        "site.html.j2",
        template_dir,
        strings,
        models=[{"name": safe_name(model.name), "rows": rows, "ledger": _ledger(model)} for model, rows in listed],
        open_requests=waiting,
        answered=sum(bool(request.answered) for request in requests),
        counts={
            "champions": len(champions),
            "in_order": sum(entry.state == "pass" for entry in champions),
            "no_champion": len(models) - len(champions),
            "open": len(waiting),
            "with_pass": sum(request.state == "pass" for request in waiting),
            "overdue": sum(bool(request.due) and request.due < today.isoformat() for request in waiting),
        },
        today=today.isoformat(),
        script=SCRIPT,
        script_digest=digest,
        lang=strings.text("language"),
        clean=safe_sentence,
    )


def _text(model: SiteModel, entry: SiteEntry) -> str:
    """Text that the search matches."""
    parts = (model.name, entry.label, entry.role, entry.method, entry.word, entry.policy, entry.created, *entry.aliases)
    return safe_sentence(" ".join(parts)).lower()


def _ledger(model: SiteModel) -> list[dict[str, str]]:
    fields = ("number", "time", "kind", "version", "decision", "actor", "reason")
    rows = [{key: safe_sentence(entry.get(key) or "") for key in fields} for entry in model.ledger]
    return [row | {"time": short_time(row["time"])} for row in rows]
