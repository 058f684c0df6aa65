"""The report as one self-contained HTML file: no script, no network, everything escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grmu_audit.records import Audit
from grmu_audit.report.branding import load_branding
from grmu_audit.report.charts import build_charts
from grmu_audit.report.lookup import Lookup
from grmu_audit.report.pages import render_page
from grmu_audit.report.strings import load_strings
from grmu_audit.report.view import build_view

TEMPLATE = "report.html.j2"
"""The page."""


def render_html(
    audit: Audit,
    *,
    template_dir: Path | None = None,
    branding: Path | None = None,
    after: Mapping[str, Any] | None = None,
) -> str:
    """The report of an audit.

    Args:
        audit: facts, with or without a verdict.
        template_dir: a folder of the user's; its ``report.html.j2``, ``macros.html.j2``, ``style.css`` and ``en.yaml`` go before
            those that come along, any of them may be absent.
        branding: branding file; see ``branding``.
        after: what the ledger says since the audit was recorded; see ``Lookup.after``.

    Returns:
        One HTML document, the same bytes for the same audit.  Templates get ``view`` (``fields.View``), ``charts``
        (``svg.Drawing`` by name, or None) and ``t`` (a sentence by its key).

    Raises:
        InputError: the folder does not exist, or a template is wrong or uses a field that the view model does not have.
    """
    strings = load_strings(template_dir)
    shown = load_branding(branding) if branding is not None else None
    view = build_view(audit, strings=strings, branding=shown, after=after)
    charts = build_charts(Lookup.of(audit), strings)
    return render_page(TEMPLATE, template_dir, strings, view=view, charts=charts)
