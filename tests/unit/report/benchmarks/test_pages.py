from __future__ import annotations

from support.benchmarks import row, study

from grmu_audit.report.benchmarks import SuiteWords, benchmark_page, cells_of, draw_all, leaderboard, page_html, page_markdown

WORDS = SuiteWords("x", "A suite", "What it is for.", "celeba", "grmu-audit benchmark x")


def test_one_page_with_claims_tables_and_figures() -> None:
    rows = study()
    drawings = draw_all(cells_of(rows), ["ratio"])
    text = page_markdown(benchmark_page(WORDS, rows, drawings), "pictures")
    for part in ("# A suite", "REWEIGHT recovers GA in retraining: holds.", "| untouched |", "pictures/ratio-ga.svg", "99.2"):
        assert part in text, part
    html = page_html(benchmark_page(WORDS, rows, drawings))
    assert html.count("<svg") == len(drawings)
    assert "default-src 'none'" in html
    assert "**" not in html


def test_names_are_text_and_no_markup() -> None:
    page = benchmark_page(SuiteWords("x", "<script>alert(1)</script>"), [row("untouched"), row("<img src=x>")], [])
    html = page_html(page)
    assert "<script>" not in html
    assert "<img" not in html


def test_an_undefined_metric_is_counted() -> None:
    rows = [row("untouched"), row("ft", missing={"FORGET_SHARE": "no trace"})]
    assert "FORGET_SHARE is undefined in 1 row(s)" in page_markdown(benchmark_page(WORDS, rows, []))


def test_the_leaderboard_ranks_floor_and_ceiling_among_the_methods() -> None:
    text = page_markdown(leaderboard([("x", study((0.5,)))]))
    order = [line.split("|")[2].strip(" *") for line in text.splitlines() if line.startswith("| ")][1:]
    assert order[:3] == ["miu + REWEIGHT", "ft + REWEIGHT", "untouched"]
    assert order.index("ceiling") < order.index("ft")
