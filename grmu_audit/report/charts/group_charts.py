"""The report's drawings: what is drawn; ``svg`` says how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grmu_audit.metrics.catalog.wording import REPORT_STYLE, confidence_text
from grmu_audit.records import CANDIDATE, Group, GroupCount, MetricValue
from grmu_audit.report.charts import svg
from grmu_audit.report.charts.svg import Caption, Drawing, make_drawing
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.series import AFTER, BEFORE, INK, LINE, MUTED, SURFACE, version_series
from grmu_audit.report.content.tables import group_shift, suppressed_cells
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import safe_name
from grmu_audit.report.wording.strings import Strings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_GROUPS = 12
"""Groups in one drawing; with more, those with the lowest accuracy (or the largest share) are drawn and the table holds all."""


def draw_groups(found: Lookup, strings: Strings) -> Drawing | None:
    """Test accuracy of each group before, retrained and after, with intervals; hidden cells are left out."""
    groups = _lowest(found, [group for group in found.groups if numbers.has_number(found.value("accuracy", CANDIDATE, group))])
    if not groups:
        return None
    known = {str(value.subject): value.subject for value in found.audit.metrics if value.name == "accuracy"}
    series = version_series(found, strings, known)
    lane, top = 11.0, 30.0
    step = 24 + lane * len(series) + 6
    height = top + step * len(groups)
    rows = [(found.group_name(group), [found.value("accuracy", known[one.name], group) for one in series]) for group in groups]

    scale = _accuracy_scale([value for _, values in rows for value in values])

    def paint(axes: Axes) -> None:
        _grid(axes, top - 8, height, scale)
        for index, (label, values) in enumerate(rows):
            base = top + step * index + 13
            axes.text(0, base, svg.shorten(label), color=INK, weight="bold")
            for at, (value, one) in enumerate(zip(values, series, strict=True)):
                _interval_mark(axes, base + 10 + lane * at, value, (one.colour, one.marker), scale)

    confidence = next((value.confidence for _, values in rows for value in values if value is not None), 0.95)
    title, words = strings.text("charts.groups.title"), confidence_text(confidence)
    shown = ", ".join(one.label for one in series)
    description = strings.text("charts.groups.description", count=len(groups), series=shown, confidence=words)
    if len(groups) < len(found.groups):
        description += " " + strings.text("charts.lowest", shown=len(groups), count=len(found.groups))
    legend = tuple((one.kind, one.label) for one in series)
    return make_drawing("chart-groups", height, paint, Caption(title, description), legend)


def draw_composition(found: Lookup, strings: Strings) -> Drawing | None:
    """Share of each group in the training set and in the forget set; hidden cells are said, not drawn."""
    counts = found.audit.data.groups
    if not counts:
        return None
    columns = [_shares([count.train for count in counts]), _shares([count.forget for count in counts])]
    order = sorted(range(len(counts)), key=lambda i: (-(columns[1][i] or 0), -(columns[0][i] or 0)))[:MOST_GROUPS]
    rows = [(found.group_name(counts[i].group), columns[0][i], columns[1][i]) for i in sorted(order)]
    top, step = 4.0, 56.0
    height = top + step * len(rows)

    def paint(axes: Axes) -> None:
        for index, (label, train, forget) in enumerate(rows):
            base = top + step * index + 14
            axes.text(0, base, svg.shorten(label), color=INK, weight="bold")
            _bar(axes, base + 13, train, BEFORE, strings)
            _bar(axes, base + 27, forget, AFTER, strings)

    title, description = strings.text("charts.composition.title"), strings.text("charts.composition.description")
    if len(rows) < len(counts):
        description += " " + strings.text("charts.largest", shown=len(rows), count=len(counts))
    legend = (("before bar", strings.text("charts.training_set")), ("after bar", strings.text("charts.forget_set")))
    return make_drawing("chart-composition", height, paint, Caption(title, description), legend)


def draw_shift(found: Lookup, strings: Strings) -> Drawing | None:
    """Share of each group in the training data before and after the request, and the weight that REWEIGHT gives it."""
    known = group_shift(found)
    rows = sorted(known, key=lambda row: -(row.before or 0))[:MOST_GROUPS]
    rows = [row for row in known if row in rows and row.before is not None]
    if not rows:
        return None
    top, step = 4.0, 56.0
    height = top + step * len(rows)

    def paint(axes: Axes) -> None:
        for index, row in enumerate(rows):
            base = top + step * index + 14
            absent = strings.text("hidden_complement") if row.concealed else "–"
            weight = absent if row.weight is None else f"× {row.weight:.2f}"
            axes.text(0, base, svg.shorten(row.name, 32), color=INK, weight="bold")
            axes.text(svg.WIDTH, base, weight, color=INK, ha="right")
            _bar(axes, base + 13, row.before, BEFORE, strings)
            _bar(axes, base + 27, row.after, AFTER, strings)

    title, description = strings.text("charts.shift.title"), strings.text("charts.shift.description")
    if len(rows) < len(known):
        description += " " + strings.text("charts.largest", shown=len(rows), count=len(known))
    legend = (("before bar", strings.text("columns.share_before")), ("after bar", strings.text("columns.share_after")))
    return make_drawing("chart-shift", height, paint, Caption(title, description), legend)


def _lowest(found: Lookup, groups: list[Group]) -> list[Group]:
    """At most ``MOST_GROUPS`` groups: those with the lowest accuracy, in their own order."""

    def accuracy(group: Group) -> float:
        value = found.value("accuracy", CANDIDATE, group)
        return value.value if value is not None and value.value is not None else 2.0

    return sorted(sorted(groups, key=accuracy)[:MOST_GROUPS])


def _accuracy_scale(values: Sequence[MetricValue | None]) -> tuple[int, int]:
    """Ends of the axis in per cent: multiples of 20 that hold every point and interval; the upper end is 100."""
    shown = [value for value in values if numbers.has_number(value)]
    lows = [min([value.value or 0.0, *(value.interval or ())]) for value in shown]
    return min(int(100 * max(min(lows, default=0.0), 0.0) // 20) * 20, 80), 100


def _x(value: float, scale: tuple[int, int]) -> float:
    low, high = scale[0] / 100, scale[1] / 100
    return 8 + (svg.WIDTH - 16) * (min(max(value, low), high) - low) / (high - low)


def _grid(axes: Axes, top: float, height: float, scale: tuple[int, int]) -> None:
    low, high = scale
    for tick in range(low, high + 1, 5 if high - low <= 20 else 10 if high - low <= 40 else 20):
        x = _x(tick / 100, scale)
        axes.plot([x, x], [top, height], color=LINE, lw=1, zorder=0)
        align = "left" if tick == low else "right" if tick == high else "center"
        place = 0 if tick == low else svg.WIDTH if tick == high else x
        axes.text(place, top - 6, f"{tick} %", color=MUTED, ha=align, size=svg.SMALL)


def _interval_mark(axes: Axes, y: float, value: MetricValue | None, look: tuple[str, str], scale: tuple[int, int]) -> None:
    if not numbers.has_number(value) or value.value is None:
        return
    colour, marker = look
    if value.interval is not None:
        axes.plot([_x(edge, scale) for edge in value.interval], [y, y], color=colour, lw=2.2, solid_capstyle="round", zorder=2)
    axes.scatter([_x(value.value, scale)], [y], s=52, color=colour, marker=marker, edgecolors=SURFACE, linewidths=1.2, zorder=3)


def _shares(counts: Sequence[int]) -> list[float | None]:
    """Share of each cell in its column; None where it must not be shown."""
    total = sum(counts)
    return [
        None if secret else count / total if total else 0.0
        for count, secret in zip(counts, suppressed_cells(counts), strict=True)
    ]


def _bar(axes: Axes, y: float, share: float | None, colour: str, strings: Strings) -> None:
    available = svg.WIDTH - 52
    if share is None:
        axes.text(0, y + 4, strings.text("charts.suppressed"), color=MUTED, size=svg.SMALL, style="italic")
        return
    width = max(available * share, 1.5)
    axes.barh([y], [width], height=10, color=colour)
    axes.text(width + 6, y + 4, REPORT_STYLE.percent(share), color=INK, size=svg.SMALL)


MOST_MIX_GROUPS = 60
"""Groups that are drawn: the largest; the others are counted in the title."""
_STYLE = (
    "<style>svg{--muted:#5b6270;--line:#d5d9e0;--before:#7a8797;--after:#b4531f;--surface:#fff;color:#1b1f27;"
    "font-family:system-ui,sans-serif;background:#fff}"
    "@media(prefers-color-scheme:dark){svg{--muted:#a5adba;--line:#3a404b;--before:#8d9aab;--after:#e08a52;--surface:#16191f;"
    "color:#eceef2;background:#16191f}}</style>"
)


def group_mix_svg(groups: Sequence[GroupCount], title: str) -> str:
    """Share of each group in the training set, in the retain set, and the REWEIGHT weight that gives it its old share.

    Args:
        groups: group table; without a forget set the two bars are equal and only one is drawn.
        title: heading.
    """
    shown = sorted(sorted(groups, key=lambda row: -row.train)[:MOST_MIX_GROUPS], key=lambda row: row.group)
    train, retain = sum(row.train for row in groups), sum(row.retain for row in groups)
    forgetting = any(row.forget for row in groups)
    step, top = (44.0, 44.0) if forgetting else (32.0, 44.0)
    more = f" ({len(groups) - len(shown)} more groups)" if len(shown) < len(groups) else ""
    described = f"Share of each of {len(shown)} groups in {train} training samples" + (
        f" and in the {retain} of the retain set, with REWEIGHT weights." if forgetting else "."
    )

    def paint(axes: Axes) -> None:
        axes.text(0, 14, svg.shorten(safe_name(title) + more, 52), color=INK, weight="bold")
        legend = "grey: training set, orange: retain set, right: REWEIGHT weight" if forgetting else "share of the training set"
        axes.text(0, 29, legend, color=MUTED, size=svg.SMALL)
        for index, row in enumerate(shown):
            base = top + step * index + 12
            axes.text(0, base, svg.shorten(safe_name(row.name), 46), color=INK, size=svg.SMALL)
            if forgetting:
                weight = f"× {row.train / row.retain:.2f}" if row.retain else "none left" if row.train else "no samples"
                axes.text(svg.WIDTH, base, weight, color=INK, ha="right", size=svg.SMALL)
            _mix_bar(axes, base + 9, row.train / train if train else 0.0, BEFORE)
            if forgetting:
                _mix_bar(axes, base + 20, row.retain / retain if retain else 0.0, AFTER)

    drawn = svg.draw("group-mix", top + step * len(shown) + 8, paint, title=safe_name(title), description=described)
    end = drawn.index("</desc>") + len("</desc>")
    return drawn[:end] + _STYLE + drawn[end:] + "\n"


def _mix_bar(axes: Axes, y: float, share: float, colour: str) -> None:
    """A bar from the left edge with its share in per cent behind it."""
    width = (svg.WIDTH - 48) * share
    axes.plot([0, max(width, 0.8)], [y, y], color=colour, lw=7, solid_capstyle="butt")
    axes.text(width + 5, y + 3.5, f"{100 * share:.1f} %", color=MUTED, size=svg.SMALL)
