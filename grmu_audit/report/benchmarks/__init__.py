"""Benchmarks as tables, figures and pages: the seed papers' forms, with the printed numbers beside ours."""

from __future__ import annotations

from grmu_audit.report.benchmarks.claims import Claim, claims
from grmu_audit.report.benchmarks.figures import FIGURES, Drawing, draw_all
from grmu_audit.report.benchmarks.pages import Page, SuiteWords, benchmark_page, leaderboard, page_html, page_markdown
from grmu_audit.report.benchmarks.summary import Cell, Line, cells_of
from grmu_audit.report.benchmarks.tables import FORMATS, Table, published_table, result_table, rows_csv

__all__ = [
    "FIGURES",
    "FORMATS",
    "Cell",
    "Claim",
    "Drawing",
    "Line",
    "Page",
    "SuiteWords",
    "Table",
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
