"""Numbers, intervals and bounds in words, for verdicts and reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MINUS = "\u2212"
"""The typographic minus sign."""
NBSP = "\u00a0"
"""Keeps a number and its unit on one line."""
CHANGE_BOUNDS = ("max_change", "min_change", "max_gap")
"""Bounds on the change of a metric against the baseline or a reference."""
_BARE_UNITS = ("", "1", "ratio", "score")


@dataclass(frozen=True)
class NumberStyle:
    """How numbers are written: a value in its unit, an interval, the numbers of a bound."""

    minus: str
    """Minus sign."""
    space: str
    """Between a number and its unit."""
    points: str
    """Unit of a change of a fraction."""
    long_units: bool
    """Whether units of several words are written; a table cell is too narrow for them."""

    def percent(self, value: float, *, signed: bool = False) -> str:
        """A fraction as per cent with one decimal; a change in points with its sign.

        >>> VERDICT_STYLE.percent(0.256), VERDICT_STYLE.percent(-0.05, signed=True), VERDICT_STYLE.percent(0.0, signed=True)
        ('25.6 %', '-5.0 points', '0.0 points')
        """
        text = f"{100 * value:.1f}"
        bare = text.lstrip("-") if float(text) == 0 else text.replace("-", self.minus)
        plus = "+" if signed and float(text) > 0 else ""
        return f"{plus}{bare}{self.space}{self.points if signed else '%'}"

    def number(self, value: float, unit: str, *, signed: bool = False) -> str:
        r"""A value in its unit: fractions as per cent, everything else with four significant digits.

        >>> VERDICT_STYLE.number(3.0, "epochs"), VERDICT_STYLE.number(-0.5, "score", signed=True)
        ('3 epochs', '-0.5')
        >>> REPORT_STYLE.number(0.5, "fraction"), REPORT_STYLE.number(0.25, "squared activation")
        ('50.0\xa0%', '0.25')
        """
        if not math.isfinite(value):
            return "not a finite number"
        if unit == "fraction":
            return self.percent(value, signed=signed)
        sign = "+" if signed and value > 0 else ""
        written = unit not in _BARE_UNITS and (self.long_units or " " not in unit)
        return f"{sign}{value:.4g}".replace("-", self.minus) + (f"{self.space}{unit}" if written else "")

    def interval(self, bounds: tuple[float, float] | None, unit: str = "fraction", *, signed: bool = False) -> str:
        r"""An interval with its unit once; empty when there is none.

        >>> REPORT_STYLE.interval((0.62, 0.79)), REPORT_STYLE.interval((-0.05, 0.012), signed=True)
        ('62.0 to 79.0\xa0%', '−5.0 to +1.2\xa0pts')
        """
        if bounds is None:
            return ""
        low, high = (self.number(edge, unit, signed=signed) for edge in bounds)
        first, _, low_unit = low.rpartition(self.space)
        return f"{first if first and high.endswith(low_unit) else low} to {high}"

    def bound(self, kind: str, bound: float | Sequence[float], unit: str) -> list[str]:
        """The numbers of a bound: of a change in points with its sign, of a gap in points without.

        >>> VERDICT_STYLE.bound("within", (0.3, 0.7), "fraction"), VERDICT_STYLE.bound("min_change", -0.05, "fraction")
        (['30.0 %', '70.0 %'], ['-5.0 points'])
        >>> VERDICT_STYLE.bound("max_gap", 0.1, "fraction")
        ['10.0 points']
        """
        edges = bound if isinstance(bound, Sequence) else [bound]
        written = [self.number(float(edge), unit, signed=kind in CHANGE_BOUNDS) for edge in edges]
        return [text.lstrip("+") for text in written] if kind == "max_gap" else written


VERDICT_STYLE = NumberStyle(minus="-", space=" ", points="points", long_units=True)
"""Reasons of a verdict, which are stored."""
REPORT_STYLE = NumberStyle(minus=MINUS, space=NBSP, points="pts", long_units=False)
"""Reports."""


def confidence_text(value: float) -> str:
    r"""A coverage as per cent without needless decimals.

    >>> confidence_text(0.95), confidence_text(0.9975)
    ('95\xa0%', '99.75\xa0%')
    """
    return f"{100 * value:.6g}{NBSP}%"
