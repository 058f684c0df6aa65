"""Tables stay within the width of the terminal, whatever they hold, and lose nothing."""

from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.utils.terminal_tables import fit_table, text_width

CELL = st.text(st.sampled_from("ab 日e\u0301"), max_size=12).map(str.strip)


@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=4), st.integers(40, 90))
def test_no_line_is_wider_and_no_letter_is_lost(rows, width):
    lines = fit_table(["one", "two", "three"], rows, [False, False, True], width)
    assert max(map(text_width, lines)) <= width
    shown, given_ = "".join(lines), "".join(cell for row in rows for cell in row)
    assert all(shown.count(sign) >= given_.count(sign) for sign in "ab日")


def test_a_column_of_words_is_wrapped_and_numbers_are_not():
    lines = fit_table(["group", "n"], [["a very long name of a group of people", "1,234"]], [False, True], 30)
    assert lines == ["group                        n", "a very long name of a    1,234", "group of people"]


def test_too_many_numbers_become_a_block():
    lines = fit_table(["group", "before", "after"], [["a", "94.4 % 1 to 2", "93.1 % 1 to 2"]], [False, True, True], 30)
    assert lines == ["a", "  before: 94.4 % 1 to 2", "  after: 93.1 % 1 to 2"]


def test_a_block_leaves_empty_cells_out():
    lines = fit_table(["group", "before", "after"], [["a", "", "93.1 % 1 to 2 of 3"], ["b", "", ""]], [False, True, True], 20)
    assert lines == ["a", "  after: 93.1 % 1", "    to 2 of 3", "b"]
