"""Writes what a benchmark found: tables, figures and pages from its rows, the same files for the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from grmu_audit.errors import InputError
from grmu_audit.records.benchmark import BenchmarkRow
from grmu_audit.report.benchmarks import (
    FORMATS,
    SuiteWords,
    benchmark_page,
    cells_of,
    draw_all,
    leaderboard,
    page_html,
    page_markdown,
    published_table,
    result_table,
    rows_csv,
)
from grmu_audit.utils import write_atomic
from grmu_audit.workflows.benchmarks.running import read_rows
from grmu_audit.workflows.benchmarks.suite import Suite

REPORT, PAGE, RESULTS, TABLES, FIGURES = "report.md", "report.html", "results.csv", "tables", "figures"
"""Names in the folder of a benchmark."""


def write_output(suite: Suite, rows: Sequence[BenchmarkRow], out: Path, command: str = "") -> list[Path]:
    """Tables as Markdown, LaTeX and CSV, figures as SVG and PNG, and all of it as one page of Markdown and of HTML.

    Args:
        suite: what was compared.
        rows: what was measured.
        out: folder of the benchmark.
        command: how the page was made.

    Returns:
        The pages and the file of all numbers.

    Raises:
        InputError: there are no rows.
    """
    if not rows:
        raise InputError(f"suite {suite.name} has no rows yet: there is nothing to write")
    cells, drawings = cells_of(rows), draw_all(cells_of(rows), suite.figures)
    words = SuiteWords(suite.name, suite.title, suite.description, suite.published, command)
    page = benchmark_page(words, rows, drawings)
    tables = [result_table(cell) for cell in cells]
    tables += [table for cell in cells if suite.published and (table := published_table(suite.published, cell)) is not None]
    for table in tables:
        for ending, write in FORMATS.items():
            write_atomic(out / TABLES / f"{table.name}.{ending}", write(table).encode())
    for drawing in drawings:
        write_atomic(out / FIGURES / f"{drawing.name}.svg", drawing.svg)
        write_atomic(out / FIGURES / f"{drawing.name}.png", drawing.png)
    return [
        write_atomic(out / REPORT, page_markdown(page, FIGURES).encode()),
        write_atomic(out / PAGE, page_html(page).encode()),
        write_atomic(out / RESULTS, rows_csv(rows).encode()),
    ]


def write_leaderboard(folders: Sequence[Path], path: Path) -> Path:
    """One static page that ranks the methods of several benchmarks.

    Args:
        folders: that benchmarks wrote.
        path: HTML file.

    Raises:
        InputError: a folder holds no rows.
    """
    groups = [(", ".join(dict.fromkeys(row.suite for row in rows)), rows) for rows in map(read_rows, folders)]
    return write_atomic(path, page_html(leaderboard(groups)).encode())
