"""Names from a registry, a CSV or a policy are hostile: what they may do to a reader's screen is decided here.

Escaping for a syntax (HTML, XML, Markdown) is the writer's affair; this module only removes what no syntax can carry safely and
shortens what would push everything else off the page.
"""

from __future__ import annotations

import re

MAX_NAME = 160
"""Characters of a name that are shown."""

MAX_SENTENCE = 1200
"""Characters of a reason, a description or another sentence that are shown."""

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_CONTROL = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_BIDI}\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_SPACE = re.compile(r"[^\S\u00a0]+")  # white space, but for the space that keeps a number and its unit together


def clean(text: object, limit: int = MAX_SENTENCE) -> str:
    r"""One line of plain text: control and direction-changing characters become U+FFFD, white space one space, long text is cut.

    The cut says how long the text was, so that nothing is shortened silently.

    >>> clean("a\x1b[31m\nb")
    'a�[31m b'
    >>> clean("x" * 30, limit=8)
    'xxxxxxxx… (30 characters)'
    """
    raw = str(text)
    line = _SPACE.sub(" ", _CONTROL.sub("\ufffd", _SPACE.sub(" ", raw[: 4 * limit + 64]))).strip()
    return line if len(raw) <= limit else f"{line[:limit]}… ({len(raw):,} characters)"


def name(text: object) -> str:
    """``clean`` at the length of a name."""
    return clean(text, MAX_NAME)
