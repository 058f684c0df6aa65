"""Numbers to words: per cent, intervals, counts.  All arithmetic of the report happens before a template sees anything."""

from __future__ import annotations

import math

from grmu_audit.records import MetricValue

K_ANONYMITY = 5
"""A cell with fewer people than this is never shown."""
MINUS = "\u2212"
"""The typographic minus sign."""
NBSP = "\u00a0"
"""Keeps a number and its unit on one line."""


def suppressed(count: int, k: int = K_ANONYMITY) -> bool:
    """Whether a count of people is too small to be shown; 0 holds nobody and may be."""
    return 0 < count < k


def people(count: int, k: int = K_ANONYMITY) -> str:
    """A count of people or samples, with small cells suppressed.

    >>> people(1234), people(3), people(0)
    ('1,234', '< 5', '0')
    """
    return f"< {k}" if suppressed(count, k) else f"{count:,}"


def percent(value: float, *, signed: bool = False) -> str:
    r"""A fraction as per cent with one decimal; a change in points with its sign.

    >>> percent(0.7143), percent(-0.05, signed=True), percent(0.0, signed=True)
    ('71.4\xa0%', '−5.0\xa0pts', '0.0\xa0pts')
    """
    text = f"{100 * value:.1f}"
    bare = text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)
    if not signed:
        return f"{bare}{NBSP}%"
    plus = "+" if float(text) > 0 else ""
    return f"{plus}{bare}{NBSP}pts"


def number(value: float, unit: str, *, signed: bool = False) -> str:
    r"""A value in its unit: fractions as per cent, everything else with four significant digits.

    A unit of several words does not fit into a cell; the metric's explanation names it.

    >>> number(0.5, "fraction"), number(12.34567, "seconds"), number(0.25, "squared activation")
    ('50.0\xa0%', '12.35\xa0seconds', '0.25')
    """
    if not math.isfinite(value):
        return "not a finite number"
    if unit == "fraction":
        return percent(value, signed=signed)
    sign = "+" if signed and value > 0 else ""
    suffix = f"{NBSP}{unit}" if unit and unit not in ("1", "ratio", "score") and " " not in unit else ""
    return f"{sign}{value:.4g}".replace("-", MINUS) + suffix


def interval(bounds: tuple[float, float] | None, unit: str = "fraction", *, signed: bool = False) -> str:
    r"""An interval with its unit once; empty when there is none.

    >>> interval((0.62, 0.79)), interval((-0.05, 0.012), signed=True)
    ('62.0 to 79.0\xa0%', '−5.0 to +1.2\xa0pts')
    """
    if bounds is None:
        return ""
    low, high = (number(edge, unit, signed=signed) for edge in bounds)
    first, _, low_unit = low.rpartition(NBSP)
    return f"{first if first and high.endswith(low_unit) else low} to {high}"


def confidence(value: float) -> str:
    r"""A coverage as per cent without needless decimals.

    >>> confidence(0.95), confidence(0.9975)
    ('95\xa0%', '99.75\xa0%')
    """
    return f"{100 * value:.6g}{NBSP}%"


def hidden(value: MetricValue) -> bool:
    """Whether a value rests on so few samples that showing it would speak of single people."""
    return suppressed(value.n)


def estimate(value: MetricValue | None) -> str:
    """The estimate in words: a number, "undefined: why", "hidden ..." or "not recorded"."""
    if value is None:
        return "not recorded"
    if hidden(value):
        return f"hidden: rests on fewer than {K_ANONYMITY} samples"
    if value.value is None or not math.isfinite(value.value):
        return f"undefined: {value.why_missing or 'no reason was recorded'}"
    return number(value.value, value.unit, signed=value.subject.change)


def interval_of(value: MetricValue | None) -> str:
    """The interval of a value in words; empty when there is none to show."""
    if value is None or value.value is None or hidden(value):
        return ""
    return interval(value.interval, value.unit, signed=value.subject.change)


def plain(value: object) -> str:
    """A recorded fact of any plain type as text: numbers grouped, lists joined, dictionaries as "key: value".

    >>> plain([1, 2.5, "a"]), plain({"lr": 0.01, "layers": []}), plain(True), plain(None)
    ('1, 2.5, a', 'lr: 0.01; layers: none', 'yes', 'not recorded')
    """
    if value is None or value == "":
        return "not recorded"
    if value in ([], (), {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return str(value)
