"""The table of goals: numbers come from the pages, and a bound is kept or not by what it says."""

from __future__ import annotations

import pytest

from benchmarks.pages.goals import END, ROOT, START, Goal, Pages, between, cells, page, ratio, share_of_matmul, with_build

PERFORMANCE = """
### ResNet-18 at 224 px, 60 images

Ceilings in the same run, per processor second: 100 GFLOP of matrix products in fp32, 1000 in bf16, 12.4 GB copied. One forward
pass of an image has 4.00 GFLOP. Building the image cache, once: 1.0 processor seconds.

**Evaluation** of all four splits, 60 images (`auto` reaches 22% of the matrix rate):

| | processor s | s | images a processor s | ratio, processor s | ratio, s |
|---|---:|---:|---:|---:|---:|
| reference fp32 | 9.00 | 39.98 | 16.4 |  |  |
| reference bf16, its faster precision here | 3.00 | 41.87 | 20.0 |  |  |
| this project, `auto` | 1.00 | 7.42 | 60.0 | 3.00 | 5.64 |

bf16 folded 85; bf16 compiled 150.

### ResNet-18 at 64 px, 100 images
"""


def pages() -> Pages:
    return Pages(PERFORMANCE.replace("One forward\npass", "One forward pass"), "", "")


def test_numbers_are_read_from_their_part_of_a_page() -> None:
    """By hand: 3 / 1, 9 / 1, 3 / (1 + 1), 150 x 4 / 1000."""
    assert ratio(pages(), "224 px", "Evaluation") == 3.0
    assert ratio(pages(), "224 px", "Evaluation", "reference fp32") == 9.0
    assert with_build(pages(), "224 px") == 1.5
    assert share_of_matmul(pages()) == pytest.approx(60.0)


def test_a_number_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no row 'miu'"):
        cells(PERFORMANCE, "miu")
    with pytest.raises(ValueError, match="no '### ResNet-18 at 32 px'"):
        pages().size("32 px")
    assert between("a b c", "a", "c") == " b "


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (3.0, "x", "3x | met |"),
        (2.9, "x", "2.9x | not met: slow |"),
        (3.0, "s", "3 s | met |"),
        (3.1, "s", "3.1 s | not met: slow |"),
    ],
)
def test_a_ratio_is_at_least_and_a_time_at_most_its_bound(value: float, unit: str, words: str) -> None:
    assert Goal("goal", 3.0, lambda _: value, unit, "slow").row(pages()) == f"| goal | {words}"


def test_what_no_page_has_was_not_measured() -> None:
    missing = Goal("goal", 3.0, lambda p: ratio(p, "64 px", "Whole stories"), why="busy")
    assert missing.row(pages()) == "| goal |  | not measured: busy |"


def test_the_page_has_the_numbers_of_the_other_pages_and_says_why_a_goal_is_not_met() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    written = "\n".join(page(Pages.read()))
    assert written == text[text.index(START) : text.index(END) + len(END)]
    assert "not met |" not in written
    assert "not measured |" not in written
