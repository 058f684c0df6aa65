"""The report as a tagged PDF with bookmarks, rendered from the same page by WeasyPrint (the extra ``grmu-audit[pdf]``)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from grmu_audit.errors import EnvironmentFailure, InputError
from grmu_audit.records import Audit
from grmu_audit.report.formats.html import render_html
from grmu_audit.utils import sha256_hex

PAPERS = ("A4", "Letter")
"""Paper sizes."""
_SOURCE_DATE = "SOURCE_DATE_EPOCH"
_WRITING = Lock()
"""Held while a PDF is written: the environment belongs to the whole process."""
_VARIABLE = re.compile(r"var\(--([\w-]+)\)")
_TOKEN = re.compile(r"--([\w-]+): (#[0-9a-fA-F]{6})")
_CHART = re.compile(r'<svg class="chart".*?</svg>', re.S)
_ICON = re.compile(r'<svg class="icon state-([\w-]+)".*?</svg>', re.S)
_STATE_COLOURS = {"pass": "pass", "breach": "breach", "inconclusive": "inconclusive", "waived": "inconclusive"}
_OPEN = re.compile(r"<(/?)(details|summary)\b")
_SHEET = """
@page {{ size: {paper}; }}
.answers {{ display: flex !important; gap: 4mm; }}
.answers > section {{ width: 50%; }}
.legend {{ display: block !important; }}
.legend li {{ display: inline-block !important; margin-inline-end: 4mm; white-space: nowrap; }}
.key {{ display: inline-block !important; margin-inline-end: 1.5mm; }}
h1 {{ font-size: 16pt !important; }}
.verdict .word {{ font-size: 15pt !important; }}
.verdict {{ padding: 4mm !important; }}
.verdict .icon {{ width: 12mm !important; height: 12mm !important; }}
"""


def render_pdf(
    audit: Audit,
    *,
    template_dir: Path | None = None,
    branding: Path | None = None,
    paper: str = "A4",
    after: Mapping[str, Any] | None = None,
) -> bytes:
    """The report as PDF: headings as bookmarks, structure as tags, light colours, every part of the annex open.

    Args:
        audit: facts, with or without a verdict.
        template_dir: as for ``render_html``.
        branding: as for ``render_html``.
        paper: one of ``PAPERS``.
        after: as for ``render_html``.

    Returns:
        The bytes of the file; the same for the same audit with the same fonts and WeasyPrint.

    Raises:
        InputError: unknown paper, or what ``render_html`` raises.
        EnvironmentFailure: WeasyPrint or the libraries that it draws text with are not installed.
    """
    if paper not in PAPERS:
        raise InputError(f"unknown paper {paper!r}: known are {', '.join(PAPERS)}")
    page = render_html(audit, template_dir=template_dir, branding=branding, after=after)
    try:
        from weasyprint import CSS, HTML
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError) as error:
        raise EnvironmentFailure(
            "PDF needs WeasyPrint and Pango: install grmu-audit[pdf] and your system's Pango library"
            f" (Debian: libpango-1.0-0, libpangoft2-1.0-0), or print the HTML report from a browser ({error})"
        ) from None
    fetcher = URLFetcher(allowed_protocols=["data"])
    document = HTML(string=_printable(page), url_fetcher=fetcher)
    sheet = CSS(string=_SHEET.format(paper=paper), url_fetcher=fetcher)
    with _font_date(audit):
        content: bytes = document.write_pdf(stylesheets=[sheet], pdf_tags=True, pdf_identifier=_identity(page))
    return content


@contextmanager
def _font_date(audit: Audit) -> Iterator[None]:
    """While it holds, fontTools writes the date of the audit into the fonts instead of the current time.

    WeasyPrint subsets fonts with fontTools where the library HarfBuzz-Subset is missing.
    """
    with _WRITING:
        before = os.environ.get(_SOURCE_DATE)
        os.environ[_SOURCE_DATE] = str(_seconds(audit.record.get("created")))
        try:
            yield
        finally:
            if before is None:
                del os.environ[_SOURCE_DATE]
            else:
                os.environ[_SOURCE_DATE] = before


def _seconds(created: object) -> int:
    """Seconds since 1970 of an ISO 8601 date, which is of UTC where it names no zone; 0 for what is no date.

    >>> _seconds("1970-01-01T00:01:00+00:00"), _seconds("1970-01-02"), _seconds(None)
    (60, 86400, 0)
    """
    try:
        moment = datetime.fromisoformat(str(created))
    except ValueError:
        return 0
    return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))


def _printable(page: str) -> str:
    """The page with its drawings in fixed colours and nothing folded."""
    tokens = dict(_TOKEN.findall(page.partition("prefers-color-scheme")[0]))

    def colour(token: str) -> str:
        return str(tokens.get(token, "#17212d"))

    def chart(match: re.Match[str]) -> str:
        return _VARIABLE.sub(lambda found: colour(found.group(1)), match.group()).replace("currentColor", colour("ink"))

    def icon(match: re.Match[str]) -> str:
        cut = 'fill="none" stroke="#ffffff" stroke-width="2.4" stroke-linecap="round"'
        drawn = match.group().replace('class="cut"', cut)
        return drawn.replace("currentColor", colour(_STATE_COLOURS.get(match.group(1), "muted")))

    return _OPEN.sub(r"<\1div", _ICON.sub(icon, _CHART.sub(chart, page)))


def _identity(page: str) -> bytes:
    return sha256_hex(page.encode())[:32].encode()
