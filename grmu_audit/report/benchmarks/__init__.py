"""Benchmarks as tables, figures and pages: the seed papers' forms, with the printed numbers beside ours."""

from __future__ import annotations

from grmu_audit.report.benchmarks.claims import claims
from grmu_audit.report.benchmarks.figures import draw_all
from grmu_audit.report.benchmarks.pages import SuiteWords, benchmark_page, leaderboard, page_html, page_markdown
from grmu_audit.report.benchmarks.summary import cells_of
from grmu_audit.report.benchmarks.tables import FORMATS, published_table, result_table, rows_csv

__all__ = [
    "FORMATS",
    "SuiteWords",
    "benchmark_page",
    "cells_of",
    "claims",
    "draw_all",
    "leaderboard",
    "page_html",
    "page_markdown",
    "published_table",
    "result_table",
    "rows_csv",
]
