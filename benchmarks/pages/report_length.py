"""Count the screens, words and printed pages of reports: what a reader has to get through.

python -m benchmarks.pages.report_length audit.json [more.json ...] [--shots FOLDER]

Screens are the page's height over the window's, as it opens.  Words are those to be seen as it opens; ``all`` counts what is
folded, too.  Needs Debian's chromium, Playwright (extra ``dev``) and WeasyPrint (extra ``pdf``).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.pages.pictures import ARGUMENTS, CHROMIUM
from grmu_audit.auditing.audit_files import read_audit
from grmu_audit.report import render_html
from grmu_audit.report.formats.pdf import render_pdf

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WINDOWS = ((1280, 800), (390, 844))
"""Window sizes: a laptop, a phone."""
HEADINGS = ("audit", *(f"{kind} {w}x{h}" for w, h in WINDOWS for kind in ("screens", "words", "all")), "PDF pages")
"""Columns of the table."""


def count_in_window(browser: Browser, page: Path, size: tuple[int, int], shots: Path | None) -> tuple[float, int, int]:
    """Screens, words to be seen and words in all of a page in one window; each screen as a picture where a folder is given."""
    view = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme="light")
    view.goto(page.as_uri())
    height = float(view.evaluate("document.documentElement.scrollHeight"))
    seen = len(view.inner_text("body").split())
    whole = len(view.evaluate("document.body.textContent").split())
    if shots is not None:
        shots.mkdir(parents=True, exist_ok=True)
        for number in range(-(-int(height) // size[1])):
            view.evaluate(f"window.scrollTo(0, {number * size[1]})")
            view.screenshot(path=shots / f"{page.stem}-{size[0]}-{number + 1:02d}.png")
    view.close()
    return height / size[1], seen, whole


def count_pages(pdf: bytes, shots: Path | None, name: str) -> int:
    """Pages of a PDF; each as a picture where a folder is given."""
    import pypdfium2

    document: Any = pypdfium2.PdfDocument(pdf)
    if shots is not None:
        for index in range(len(document)):
            document[index].render(scale=1.4).to_pil().save(shots / f"{name}-page-{index + 1:02d}.png")
    return len(document)


def measure_report(browser: Browser, path: Path, folder: Path, shots: Path | None) -> list[str]:
    """One row: the report of one audit file."""
    audit = read_audit(path)
    page = folder / f"{path.stem}.html"
    page.write_text(render_html(audit), encoding="utf-8")
    cells = []
    for size in WINDOWS:
        screens, seen, whole = count_in_window(browser, page, size, shots)
        cells += [f"{screens:.1f}", f"{seen:,}", f"{whole:,}"]
    return [path.stem, *cells, str(count_pages(render_pdf(audit), shots, path.stem))]


def main() -> None:
    """Print the counts as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audits", type=Path, nargs="+", help="audit.json")
    parser.add_argument("--shots", type=Path, help="folder for a picture of every screen and page")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    sys.stdout.write(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}\n")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for path in options.audits:
            sys.stdout.write(f"| {' | '.join(measure_report(browser, path, Path(folder), options.shots))} |\n")
        browser.close()


if __name__ == "__main__":
    main()
