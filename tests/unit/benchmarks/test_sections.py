"""A section of a page between its markers."""

from __future__ import annotations

import pytest

from benchmarks.pages.long_run import BEGIN, END
from benchmarks.pages.sections import replace_section


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    assert replace_section(f"a\n{BEGIN}\nold\n{END}\nb", "new", BEGIN, END) == "a\nnew\nb"


@pytest.mark.parametrize("page", ["nothing", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}", f"{BEGIN}\n{END}\n{END}"])
def test_a_page_without_both_markers_in_order_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="long run: begin"):
        replace_section(page, "new", BEGIN, END)
