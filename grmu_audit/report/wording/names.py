"""A metric in plain words, from the metric catalogue; a metric that is not in the catalogue is called by its name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from grmu_audit.errors import NotFoundError
from grmu_audit.metrics.catalog import spec

MAX_NAME = 160
"""Characters of a name that are shown."""
MAX_SENTENCE = 1200
"""Characters of a reason, a description or another sentence that are shown."""
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_CONTROL = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_BIDI}\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_SPACE = re.compile(r"[^\S\u00a0]+")  # white space, but for the space between a number and its unit


def safe_sentence(text: object, limit: int = MAX_SENTENCE) -> str:
    r"""One line of plain text: control and direction-changing characters become U+FFFD, white space one space, long text is cut.

    The cut says how long the text was, so that nothing is shortened silently.

    >>> safe_sentence("a\x1b[31m\nb")
    'a�[31m b'
    >>> safe_sentence("x" * 30, limit=8)
    'xxxxxxxx… (30 characters)'
    """
    raw = str(text)
    line = _SPACE.sub(" ", _CONTROL.sub("\ufffd", _SPACE.sub(" ", raw[: 4 * limit + 64]))).strip()
    return line if len(raw) <= limit else f"{line[:limit]}… ({len(raw):,} characters)"


def safe_name(text: object) -> str:
    """``safe_sentence`` at the length of a name."""
    return safe_sentence(text, MAX_NAME)


@dataclass(frozen=True)
class MetricWords:
    """A metric in words for a reader."""

    title: str
    """Name in words."""
    says: str
    """What it measures, one plain sentence."""
    hides: str
    """What it hides."""
    direction: str
    """``higher``, ``lower``, ``reference`` or ``target``; empty when unknown."""
    target: float | None
    """The value to be near to, for direction ``target``."""
    unit: str
    """Unit of its values."""
    part: str = ""
    """Part of the data that it speaks of: ``retain``, ``forget``, ``val`` or ``test``; empty when unknown."""


def metric_words(metric: str) -> MetricWords:
    """Words of a metric.

    >>> metric_words("my-own").title
    'my-own'
    """
    try:
        known = spec(metric)
    except NotFoundError:
        return MetricWords(safe_name(metric), "", "", "", None, "fraction")
    return MetricWords(
        safe_sentence(known.title),
        safe_sentence(known.says),
        safe_sentence(known.hides),
        known.direction,
        known.target,
        known.unit,
        known.part,
    )
