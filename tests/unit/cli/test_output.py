"""Output that never fails: texts in any encoding, streams that cannot be written."""

from __future__ import annotations

import errno
import io
import json
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pages.terminal import watch
from grmu_audit.cli.app import execute
from grmu_audit.cli.output import COMMAND, REPLACEMENTS, Output, fit_line, safe_output, say
from grmu_audit.utils.terminal_tables import text_width

ENCODINGS = [
    "ascii",
    "latin-1",
    "cp1252",
    "cp437",
    "gbk",
    "shift_jis",
    "koi8-r",
    "utf-8",
    "utf-16",
    "big5",
    "iso8859-15",
    "cp037",
    "cp1140",
    "cp932",
    "cp949",
    "cp1255",
    "euc_jp",
    "gb18030",
    "hz",
    "iso2022_jp",
    "johab",
    "mac_roman",
    "tis-620",
    "utf-7",
    "utf-8-sig",
    "utf-32",
]


def written(text: str, encoding: str) -> str:
    """What a program that reads the stream sees."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    before = sys.stdout
    try:
        sys.stdout = stream
        with safe_output() as output:
            assert sys.stdout is output
            sys.stdout.write(text)
        assert sys.stdout is stream
    finally:
        sys.stdout = before
    stream.flush()
    return raw.getvalue().decode(encoding)


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=40), st.sampled_from(ENCODINGS))
def test_any_text_is_written_in_any_encoding(text: str, encoding: str) -> None:
    found = written(f"x{text}", encoding)
    assert found.startswith("x")
    if text.isascii() and text.isprintable():
        assert found == f"x{text}"


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4), st.sampled_from(ENCODINGS))
def test_json_reads_back_in_any_encoding(tree: dict[str, str], encoding: str) -> None:
    assert json.loads(written(json.dumps(tree, ensure_ascii=False), encoding)) == tree


def test_a_tilde_after_long_replacements_comes_back() -> None:
    tree = {"": "0\xa0\xa0\xa0", "00\x07\xa0\xa0𐀀": "", "00\x1f\x07𐀀𐀀𐀀": "\xa0𐀀", "\x1f\x1f\xa0\xa0\xa0𐀀~0": "00"}
    assert json.loads(written(json.dumps(tree, ensure_ascii=False), "hz")) == tree


@pytest.mark.parametrize("encoding", ["shift_jis", "cp932", "euc_jp", "gbk", "big5", "cp949", "johab"])
def test_a_sign_that_an_encoding_writes_as_another_is_escaped(encoding: str) -> None:
    signs = "".join(map(chr, range(0xA0, 0x3100)))
    assert json.loads(written(json.dumps({"a": signs}, ensure_ascii=False), encoding)) == {"a": signs}


@pytest.mark.parametrize(("sign", "shown"), [("\u00a5", "\\u00a5"), ("\u00a2", "\\u00a2"), ("\u2014", "-"), ("\u8868", "\u8868")])
def test_outside_json_it_is_shown_in_ascii(sign: str, shown: str) -> None:
    encoding = "shift_jis" if sign == "\u00a5" else "cp932"
    assert written(f"a{sign}", encoding) == f"a{shown}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\u2714 PASS", "+ PASS"), ("\u2212 3 \u00d7 10\u207b\u2075", "- 3 x 10^-5"), ("\u201cEO\u201d \u2264 5", '"EO" <= 5')],
)
def test_the_tools_own_signs_become_ascii(text: str, shown: str) -> None:
    assert written(text, "ascii") == shown
    assert all(sign.isascii() for sign in REPLACEMENTS.values())


class Broken(io.StringIO):
    """A stream that takes a while to fail."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, "planted")


@pytest.mark.parametrize(
    ("number", "lost"), [(errno.ENOSPC, True), (errno.EIO, True), (errno.EPIPE, False), (errno.EBADF, False)]
)
def test_a_stream_that_cannot_be_written_keeps_the_first_reason(number: int, lost: bool) -> None:
    output = Output(Broken(number))
    assert output.write("text") == 4
    output.write("more")
    output.flush()
    assert (output.lost() is not None) == lost


def test_a_closed_stream_is_no_failure() -> None:
    stream = io.StringIO()
    stream.close()
    output = Output(stream)
    output.write("text")
    assert output.lost() is None


def test_what_a_terminal_would_obey_is_not_passed_on() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    Output(stream).write("a\x1b[31mred\x07\x9b1m\u202eb\tc\r\n")
    stream.flush()
    assert stream.buffer.getvalue().decode() == "a\ufffd[31mred\ufffd\ufffd1m\ufffdb\tc\r\n"  # type: ignore[attr-defined]


def test_a_policy_with_terminal_signs_is_shown_without_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = {"id": "a", "metric": "TA", "min": 0.5, "why": "\x1b]0;title\x07"}
    tree = {"schema": "grmu-audit/policy/v1", "name": "p", "description": "\x1b[2J", "rules": [rule]}
    (tmp_path / "p.yaml").write_text(json.dumps(tree))
    assert execute(["policy", "show", str(tmp_path / "p.yaml")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("p@")
    assert "\x1b" not in shown
    assert "\x07" not in shown


@pytest.mark.parametrize(("terminal", "lines"), [(True, 3), (False, 1)])
def test_a_long_sentence_is_wrapped_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch, terminal: bool, lines: int) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "40")
    say("word " * 20, err=True)
    assert len(stream.getvalue().splitlines()) == lines


@pytest.mark.parametrize("line", ["data describe photodigits", "verify --model none", "policy show strict", "methods show ssd"])
def test_no_line_of_several_words_is_wider_than_the_terminal(tmp_path: Path, line: str) -> None:
    seen = watch(line.split(), tmp_path)
    assert [text for text in seen.lines if len(text) > 80 and " " in text.strip()] == []


WORDS = st.lists(st.text("abcé日-/.", min_size=1, max_size=16).filter(lambda word: word[0] != "-"), min_size=1, max_size=12)


@given(words=WORDS, width=st.integers(40, 100))
def test_a_sentence_keeps_its_words_and_its_width(words: list[str], width: int) -> None:
    lines = fit_line(" ".join(words), width)
    assert " ".join(lines).split() == words
    assert all(text_width(line) <= width for line in lines)


@given(
    options=st.lists(st.tuples(st.text("abc", min_size=1, max_size=12), st.text("xyz/.", max_size=12)), max_size=8),
    width=st.integers(40, 100),
)
def test_a_command_can_be_copied_whatever_the_width(options: list[tuple[str, str]], width: int) -> None:
    command = " ".join(["grmu-audit forget sample", *(f"--{name} {value}".strip() for name, value in options)])
    lines = fit_line(COMMAND + command, width)
    assert shlex.split("\n".join(lines).replace("\\\n", " ")) == shlex.split(COMMAND + command)
    assert all(text_width(line) <= width for line in lines)
    assert all(line.endswith(" \\") for line in lines[:-1])
