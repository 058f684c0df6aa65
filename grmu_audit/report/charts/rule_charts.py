"""Rules as bullets: the allowed range, the interval that decided, and the observed value, each row on its own scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grmu_audit.metrics.catalog.wording import REPORT_STYLE
from grmu_audit.records import RuleOutcome
from grmu_audit.report.charts import svg
from grmu_audit.report.charts.svg import Caption, Drawing, make_drawing
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.rules import state_of, worst_first
from grmu_audit.report.content.series import ALLOWED, BREACH, INK, LINE, MUTED, PASS, SURFACE, UNDECIDED
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import metric_words, safe_name
from grmu_audit.report.wording.strings import Strings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STATE_LOOK = {
    "pass": (PASS, "o"),
    "breach": (BREACH, "X"),
    "inconclusive": (UNDECIDED, "^"),
    "waived": (UNDECIDED, "D"),
}
_STEP, _TOP = 64.0, 4.0


@dataclass(frozen=True)
class RuleRange:
    """One row in numbers."""

    label: str
    """Rule id."""
    words: str
    """Observed value in words."""
    state: str
    """State of the rule."""
    observed: float | None
    """Observed value."""
    interval: tuple[float, float] | None
    """The interval that decided."""
    allowed: tuple[float, float]
    """Allowed range; infinite where it is open."""
    edges: tuple[tuple[float, str], ...]
    """Finite bounds and their words."""
    scale: tuple[float, float]
    """Values at the left and right end of the row."""


def draw_rules(found: Lookup, strings: Strings) -> Drawing | None:
    """Policy bullets of the rules that applied, worst first; None without a verdict."""
    rules = found.audit.verdict.rules if found.audit.verdict else ()
    rows = [rule_range(rule, strings) for rule in worst_first(rules) if rule.applied and rule.bound]
    if not rows:
        return None
    height = _TOP + _STEP * len(rows)

    def paint(axes: Axes) -> None:
        for index, row in enumerate(rows):
            _paint(axes, _TOP + _STEP * index + 14, row)

    title, description = strings.text("charts.rules.title"), strings.text("charts.rules.description")
    legend = (("allowed bar", strings.text("charts.allowed")), ("line", strings.text("charts.interval")))
    return make_drawing("chart-rules", height, paint, Caption(title, description), legend)


def rule_range(rule: RuleOutcome, strings: Strings) -> RuleRange:
    """One rule as numbers for its row."""
    observed, interval = (None, None) if numbers.is_suppressed(rule) else (rule.observed, rule.interval)
    unit, change = metric_words(rule.metric).unit, rule.compare != "absolute"
    allowed = allowed_range(rule.bound)
    finite = [edge for edge in allowed if abs(edge) != float("inf")]
    edges = tuple((edge, REPORT_STYLE.number(edge, unit, signed=change)) for edge in finite)
    words = strings.text("charts.no_value") if observed is None else REPORT_STYLE.number(observed, unit, signed=change)
    points = [*finite, *(interval or ()), *([] if observed is None else [observed])]
    return RuleRange(safe_name(rule.id), words, state_of(rule), observed, interval, allowed, edges, _scale(points, change))


def allowed_range(bound: dict[str, float | list[float]]) -> tuple[float, float]:
    """The range that a bound allows; several bounds are met together.

    >>> allowed_range({"max": 0.25}), allowed_range({"max_gap": 0.1})
    ((-inf, 0.25), (-0.1, 0.1))
    """
    low, high = float("-inf"), float("inf")
    for kind, value in bound.items():
        edges = [float(edge) for edge in value] if isinstance(value, list) else [float(value)]
        if kind.startswith("min"):
            low = max(low, edges[0])
        elif kind == "max_gap":
            low, high = max(low, -edges[0]), min(high, edges[0])
        elif kind.startswith("max"):
            high = min(high, edges[0])
        else:
            low, high = max(low, min(edges)), min(high, max(edges))
    return low, high


def _scale(points: list[float], change: bool) -> tuple[float, float]:
    """Ends of a row: everything shown and 0, with a margin at both ends; a fraction's row ends at 0."""
    low, high = min([*points, 0.0]), max([*points, 0.0])
    margin = 0.12 * (high - low) or 0.5
    return (low - margin if change or low < 0 else 0.0), high + margin


def _paint(axes: Axes, base: float, row: RuleRange) -> None:
    left, right = 6.0, svg.WIDTH - 6.0
    low, high = row.scale

    def x(value: float) -> float:
        return left + (right - left) * (min(max(value, low), high) - low) / (high - low)

    colour, marker = _STATE_LOOK.get(row.state, (MUTED, "o"))
    y = base + 17
    axes.text(0, base, svg.shorten(row.label, 30), color=INK, weight="bold")
    axes.text(svg.WIDTH, base, row.words, color=INK, ha="right")
    axes.plot([left, right], [y, y], color=LINE, lw=1, zorder=0)
    start, end = x(row.allowed[0]), x(row.allowed[1])
    axes.barh([y], [end - start], left=[start], height=14, color=ALLOWED, zorder=1)
    for edge, words in row.edges:
        axes.plot([x(edge)] * 2, [y - 9, y + 9], color=INK, lw=1.5, zorder=2)
        place = min(max(x(edge), 22.0), svg.WIDTH - 22.0)
        axes.text(place, y + 23, words, color=MUTED, ha="center", size=svg.SMALL)
    if row.interval is not None:
        axes.plot([x(edge) for edge in row.interval], [y, y], color=colour, lw=3, solid_capstyle="round", zorder=3)
    if row.observed is not None:
        axes.scatter([x(row.observed)], [y], s=64, color=colour, marker=marker, edgecolors=SURFACE, linewidths=1.2, zorder=4)
