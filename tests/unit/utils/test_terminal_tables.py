"""Tables stay within the width of the terminal, whatever they hold, and lose nothing."""

import shlex

from hypothesis import given
from hypothesis import strategies as st

from grmu_audit.utils.terminal_tables import COMMAND, fit_line, fitted, text_width

CELL = st.text(st.sampled_from("ab 日e\u0301"), max_size=12).map(str.strip)


@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=4), st.integers(40, 90))
def test_no_line_is_wider_and_no_letter_is_lost(rows, width):
    lines = fitted(["one", "two", "three"], rows, [False, False, True], width)
    assert max(map(text_width, lines)) <= width
    shown, given_ = "".join(lines), "".join(cell for row in rows for cell in row)
    assert all(shown.count(sign) >= given_.count(sign) for sign in "ab日")


def test_a_column_of_words_is_wrapped_and_numbers_are_not():
    lines = fitted(["group", "n"], [["a very long name of a group of people", "1,234"]], [False, True], 30)
    assert lines == ["group                        n", "a very long name of a    1,234", "group of people"]


def test_too_many_numbers_become_a_block():
    lines = fitted(["group", "before", "after"], [["a", "94.4 % 1 to 2", "93.1 % 1 to 2"]], [False, True, True], 30)
    assert lines == ["a", "  before: 94.4 % 1 to 2", "  after: 93.1 % 1 to 2"]


WORDS = st.lists(st.text("abcé日-/.", min_size=1, max_size=20).filter(lambda word: word[0] != "-"), min_size=1, max_size=12)


@given(words=WORDS, width=st.integers(40, 100))
def test_a_sentence_keeps_its_words_and_its_width(words, width):
    lines = fit_line(" ".join(words), width)
    assert " ".join(lines).split() == words
    assert all(len(line) <= width for line in lines)


@given(
    options=st.lists(st.tuples(st.text("abc", min_size=1, max_size=12), st.text("xyz/.", max_size=12)), max_size=8),
    width=st.integers(40, 100),
)
def test_a_command_can_be_copied_whatever_the_width(options, width):
    command = " ".join(["grmu-audit forget sample", *(f"--{name} {value}".strip() for name, value in options)])
    lines = fit_line(COMMAND + command, width)
    assert shlex.split("\n".join(lines).replace("\\\n", " ")) == shlex.split(COMMAND + command)
    assert all(text_width(line) <= width for line in lines)
    assert all(line.endswith(" \\") for line in lines[:-1])
