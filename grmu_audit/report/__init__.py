"""Reports: one audit in, one document out; HTML, PDF and text for people; JUnit, SARIF, GitHub, Markdown, JSON for machines."""

from grmu_audit.report.comparison import render_comparison, require_version_count
from grmu_audit.report.content.view import build_view
from grmu_audit.report.formats import FORMATS, render
from grmu_audit.report.formats.html import framed, render_html
from grmu_audit.report.formats.markdown import AuditedVersion, render_description, render_model_description
from grmu_audit.report.formats.pdf import PAPERS, render_pdf
from grmu_audit.report.formats.text import render_text
from grmu_audit.report.site import SiteEntry, SiteModel, SiteRequest, render_site

__all__ = [
    "FORMATS",
    "PAPERS",
    "AuditedVersion",
    "SiteEntry",
    "SiteModel",
    "SiteRequest",
    "build_view",
    "framed",
    "render",
    "render_comparison",
    "render_description",
    "render_html",
    "render_model_description",
    "render_pdf",
    "render_site",
    "render_text",
    "require_version_count",
]
