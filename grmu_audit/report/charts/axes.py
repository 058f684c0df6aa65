"""Panels with axes inside a drawing: where a value lies, the frame around it, lines through values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grmu_audit.report.charts import svg
from grmu_audit.report.content.series import INK, LINE, MUTED, SURFACE, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Ticks = Sequence[tuple[float, str]]
"""Values of an axis and their words."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Panel:
    """A rectangle of a drawing with its two scales and its words."""

    top: float
    """Upper edge of the plot."""
    height: float
    """Its height."""
    x_range: tuple[float, float]
    """Values at the left and right edge."""
    y_range: tuple[float, float]
    """Values at the lower and upper edge."""
    log: bool = False
    """Whether the horizontal scale is logarithmic; its range then is above 0."""
    left: float = 40.0
    """Left edge of the plot, right of the words of its vertical axis."""
    right: float = svg.WIDTH - 10.0
    """Right edge of the plot."""
    title: str = ""
    """Words above."""
    x_label: str = ""
    """Words of its horizontal axis, below."""

    def x(self, value: float) -> float:
        """Place of a value, limited to the axis."""
        low, high = (math.log10(edge) if self.log else edge for edge in self.x_range)
        at = math.log10(max(value, self.x_range[0])) if self.log else value
        return self.left + (self.right - self.left) * _inside((at - low) / (high - low))

    def y(self, value: float) -> float:
        """Place of a value, limited to the axis."""
        low, high = self.y_range
        return self.top + self.height * (1 - _inside((value - low) / (high - low)))


def frame(axes: Axes, panel: Panel, x_ticks: Ticks, y_ticks: Ticks) -> None:
    """Grid lines with their words, the panel's title above and the words of its horizontal axis below."""
    bottom = panel.top + panel.height
    for value, words in y_ticks:
        y = panel.y(value)
        axes.plot([panel.left, panel.right], [y, y], color=LINE, lw=1, zorder=0)
        axes.text(panel.left - 6, y + 3.5, words, color=MUTED, ha="right", size=svg.SMALL)
    for value, words in x_ticks:
        x = panel.x(value)
        axes.plot([x, x], [bottom, bottom + 4], color=MUTED, lw=1, zorder=0)
        align = "right" if x > panel.right - 12 else "center"
        axes.text(x if align == "center" else panel.right, bottom + 15, words, color=MUTED, ha=align, size=svg.SMALL)
    if panel.title:
        axes.text(0, panel.top - 10, svg.shorten(panel.title, 44), color=INK, weight="bold")
    if panel.x_label:
        axes.text((panel.left + panel.right) / 2, bottom + 30, panel.x_label, color=MUTED, ha="center", size=svg.SMALL)


def line(axes: Axes, panel: Panel, points: Sequence[tuple[float, float]], series: Series, *, marks: bool = False) -> None:
    """A line through points, in the stroke of its series."""
    xs, ys = [panel.x(x) for x, _ in points], [panel.y(y) for _, y in points]
    style = "round" if series.dash == "-" else "butt"
    caps = {"solid_capstyle": "round"} if style == "round" else {"dash_capstyle": "butt"}
    axes.plot(xs, ys, color=series.colour, lw=2.2, linestyle=series.dash, zorder=2, **caps)  # type: ignore[arg-type]
    if marks or len(points) == 1:
        mark(axes, panel, points, series)


def mark(axes: Axes, panel: Panel, points: Sequence[tuple[float, float]], series: Series) -> None:
    """Markers at points."""
    xs, ys = [panel.x(x) for x, _ in points], [panel.y(y) for _, y in points]
    axes.scatter(xs, ys, s=46, color=series.colour, marker=series.marker, edgecolors=SURFACE, linewidths=1.1, zorder=3)


def decades(low: float, high: float, most: int = 5) -> Ticks:
    """Powers of ten in a range, at most ``most`` of them.

    >>> decades(1e-5, 1.0, most=3)
    [(1e-05, '10⁻⁵'), (0.001, '0.001'), (0.1, '0.1')]
    """
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / most))
    return [(10.0**power, _power(power)) for power in range(first, last + 1, step)]


def even(low: float, high: float, count: int = 4) -> list[float]:
    """Round values that cover a range, about ``count`` steps apart.

    >>> even(0.0, 0.93)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    span = max(high - low, 1e-9)
    raw = span / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if raw <= unit * factor * (1 + 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _power(exponent: int) -> str:
    """A power of ten; a small or large one with its exponent raised."""
    return f"{10.0**exponent:g}" if abs(exponent) <= 3 else "10" + str(exponent).translate(_RAISED)


def _inside(share: float) -> float:
    return min(max(share, 0.0), 1.0)
