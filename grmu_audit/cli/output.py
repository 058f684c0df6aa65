"""Standard output and error that never change an exit code: any encoding, a full disk, a closed pipe."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import click

from grmu_audit.utils.terminal_tables import terminal_width, text_width

REPLACEMENTS = {
    "\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2010": "-", "\u2011": "-", "\u00d7": "x", "\u2264": "<=", "\u2265": ">=",
    "\u2248": "~", "\u00b1": "+/-", "\u2026": "...", "\u2192": "->", "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'",
    "\u2714": "+", "\u2713": "+", "\u2718": "x", "\u2716": "x", "\u2022": "*", "\u00b7": "*", "\u00a0": " ", "\u202f": " ",
    "\u2009": " ", "\u221e": "inf", "\u2260": "!=", "\u25c6": "*", "\u0394": "change of ", "\u03a3": "sum of ",
}  # fmt: skip
"""Characters of the tool's own texts, and what is written where the encoding lacks them."""
SUPERSCRIPTS = "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
"""Superscript minus and digits from 0."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, which a terminal obeys instead of showing; a hostile file may hold them."""
COMMAND = "next: "
"""Prefix of a command to type."""
HANDLER = "grmu-audit-replacements"
"""Name of the error handler that writes ``REPLACEMENTS``."""


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Error handler: a known character in ASCII; any other, and everything in JSON, as an escape that JSON reads back."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _to_ascii(error.object[error.start : error.end], error.object), error.end


def _to_ascii(lacking: str, text: str) -> str:
    """Replace adjacent characters of a text that its encoding lacks."""
    if text[:1] in ("{", "["):
        return "".join(map(_escape, lacking))
    powers = re.sub(f"[{SUPERSCRIPTS}]+", _power, lacking)
    return "".join(char if char.isascii() else REPLACEMENTS.get(char) or _escape(char) for char in powers)


def _power(found: re.Match[str]) -> str:
    return "^" + found[0].translate(str.maketrans(SUPERSCRIPTS, "-0123456789"))


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _survives(text: str, encoding: str) -> bool:
    """Whether a reader sees the same text: some encodings write one character as another."""
    return text.encode(encoding, "ignore").decode(encoding, "replace") == text


class Output:
    """A text stream whose writes never fail: what cannot be written is dropped, and the first reason is kept.

    Args:
        stream: its encoding is kept; characters that it lacks are replaced.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.error: OSError | None = None
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors=HANDLER)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @property
    def encoding(self) -> str:
        """The stream's encoding; another one in place of ASCII, because click bypasses this object for ASCII."""
        found = getattr(self.stream, "encoding", None) or "utf-8"
        return "latin-1" if codecs.lookup(found).name == "ascii" else found

    def write(self, text: str) -> int:
        """Write as far as possible; control characters become U+FFFD, in JSON escapes."""
        shown = _CONTROL.sub(lambda found: _escape(found[0]) if text[:1] in ("{", "[") else "\ufffd", text)
        self._try(lambda: self.stream.write(self._encodable(shown)))
        return len(text)

    def _encodable(self, text: str) -> str:
        """Replace characters that the encoding lacks or writes as others: Shift JIS writes the yen sign as a backslash.

        The error handler alone would not do: CPython's encoder for HZ writes a tilde wrongly after long replacements.
        """
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        if text.isascii() or _survives(text, encoding):
            return text
        known = {} if text[:1] in ("{", "[") else REPLACEMENTS
        changed = [char for char in set(text) if not char.isascii() and not _survives(char, encoding)]
        shown = {ord(char): known.get(char) or _escape(char) for char in changed if char.encode(encoding, "ignore")}
        lacking = "".join(char for char in changed if ord(char) not in shown)
        whole = re.sub(f"[{lacking}]+", lambda found: _to_ascii(found[0], text), text) if lacking else text
        return whole.translate(shown)

    def flush(self) -> None:
        """Flush as far as possible."""
        self._try(self.stream.flush)

    def lost(self) -> OSError | None:
        """Why not everything was written; None where it was, or where the reader closed the pipe."""
        self.flush()
        return None if self.error is None or self.error.errno in (errno.EPIPE, errno.EBADF) else self.error

    def _try(self, action: Any) -> None:
        if self.error is None:
            try:
                action()
            except (OSError, ValueError) as error:  # ValueError: the stream was closed
                self.error = error if isinstance(error, OSError) else OSError(errno.EBADF, "the output is closed")
                self._discard()

    def _discard(self) -> None:
        """Discard what is buffered: the interpreter would write it again at its end, and change the exit code."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def safe_output() -> Iterator[Output]:
    """Replace standard output and standard error by ``Output`` objects until the end; yields the first."""
    codecs.register_error(HANDLER, _replace)
    before = sys.stdout, sys.stderr
    output, errors = (Output(stream or io.StringIO()) for stream in before)
    try:
        sys.stdout, sys.stderr = output, errors
        yield output
        output.flush()
        errors.flush()
    finally:
        sys.stdout, sys.stderr = before


def say(text: str, *, err: bool = False) -> None:
    """Print sentences and commands to type, wrapped at the width of a terminal."""
    stream = sys.stderr if err else sys.stdout
    if stream.isatty():
        text = "\n".join(part for line in text.split("\n") for part in fit_line(line, terminal_width()))
    click.echo(text, err=err)


def fit_line(line: str, width: int) -> list[str]:
    """A sentence, or a command to type, as lines of at most ``width``, as far as its longest word allows.

    A command is continued with backslashes, so that it can be copied; further lines of a sentence are indented by two columns.

    Args:
        line: the text; a command begins with ``next: ``.
        width: columns of the terminal.

    >>> fit_line("next: grmu-audit unlearn --model celeba-v3 --forget ids.csv", 40)
    ['next: grmu-audit unlearn \\\\', '    --model celeba-v3 --forget ids.csv']
    >>> fit_line("one version is there", 12)
    ['one version', '  is there']
    """
    if text_width(line) <= width:
        return [line]
    command = line.startswith(COMMAND)
    words = [f"--{part}" if number else part for number, part in enumerate(line.split(" --"))] if command else line.split(" ")
    indent, end = ("    ", " \\") if command else ("  ", "")
    parts = words[:1]
    for word in words[1:]:
        if text_width(f"{parts[-1]} {word}") > width - len(end):
            parts.append(indent + word)
        else:
            parts[-1] += f" {word}"
    return [part + end for part in parts[:-1]] + parts[-1:]


def open_standard_files() -> None:
    """Open standard files that the caller closed on the null device: the next opened file, such as a database, would else take
    their descriptors."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
