"""The measured part of ``docs/benchmark.md``: the suite photodigits, from the folder that ``grmu-audit benchmark`` wrote.

python -m benchmarks.pages.benchmark --results FOLDER [--suite photodigits] [--write docs/benchmark.md]

Seeds of which rows are missing are left out, so that an unfinished run can be looked at.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pages.sections import replace_section
from grmu_audit.records.benchmark import PARTS, BenchmarkRow
from grmu_audit.report.benchmarks import SuiteWords, benchmark_page, cells_of, draw_all, page_markdown
from grmu_audit.utils import write_atomic
from grmu_audit.workflows.benchmarks import Suite, load_suite, read_rows

BEGIN = "<!-- results: begin, written by python -m benchmarks.pages.benchmark -->"
END = "<!-- results: end -->"
PICTURES = "pictures"


def whole_seeds(rows: Sequence[BenchmarkRow]) -> list[BenchmarkRow]:
    """Rows of the seeds that have as many as the one with most."""
    count = Counter(row.seed for row in rows)
    return [row for row in rows if count[row.seed] == max(count.values())]


def ordered(suite: Suite, rows: Sequence[BenchmarkRow]) -> list[BenchmarkRow]:
    """Rows in the order of the suite: requests, ratios, parts of the table, methods, REWEIGHT, seeds."""
    requests = [request.name for request in suite.requests]
    methods = [method.name for method in suite.methods]

    def place(row: BenchmarkRow) -> tuple[int, float, int, int, bool, str, int]:
        """Sorting key; what the suite does not name comes last."""
        title = row.title.removesuffix(" + REWEIGHT")
        request = requests.index(row.request) if row.request in requests else len(requests)
        method = methods.index(title) if title in methods else len(methods)
        return request, row.ratio, PARTS.index(row.part), method, row.reweight, title, row.seed

    return sorted(rows, key=place)


def text_of(suite: Suite, rows: Sequence[BenchmarkRow]) -> tuple[str, dict[str, bytes]]:
    """The part of the page, one heading deeper, and its pictures by name."""
    words = SuiteWords(suite.name, suite.title, suite.description, suite.published, f"grmu-audit benchmark {suite.name}")
    drawings = draw_all(cells_of(rows), suite.figures)
    text = page_markdown(benchmark_page(words, rows, drawings), PICTURES)
    for drawing in drawings:
        text = text.replace(f"{PICTURES}/{drawing.name}.svg", f"{PICTURES}/benchmark-{drawing.name}.svg")
    deeper = re.sub(r"^(#+ )", r"#\1", text, flags=re.MULTILINE)
    return deeper, {f"benchmark-{drawing.name}.svg": drawing.svg for drawing in drawings}


def placed(page: str, part: str) -> str:
    """The page with the part between its marks."""
    return replace_section(page, f"{BEGIN}\n\n{part}\n{END}", BEGIN, END)


def main() -> None:
    """Print the part, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--suite", default="photodigits")
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    suite = load_suite(options.suite)
    part, pictures = text_of(suite, ordered(suite, whole_seeds(read_rows(options.results))))
    if not options.write:
        sys.stdout.write(part)
        return
    write_atomic(options.write, placed(options.write.read_text(encoding="utf-8"), part).encode())
    for name, content in pictures.items():
        write_atomic(options.write.parent / PICTURES / name, content)


if __name__ == "__main__":
    main()
