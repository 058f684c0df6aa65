"""Reports: one audit in, one document out; HTML and text for people, JUnit, SARIF, GitHub, Markdown and JSON for machines."""

from grmu_audit.report.formats import FORMATS, render
from grmu_audit.report.html import render_html
from grmu_audit.report.view import build_view

__all__ = ["FORMATS", "build_view", "render", "render_html"]
