"""The report's drawings: what is drawn; ``svg`` says how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grmu_audit.records import Group, MetricValue
from grmu_audit.report import numbers, svg
from grmu_audit.report.bullets import draw_rules
from grmu_audit.report.lookup import BASELINE, CANDIDATE, Lookup
from grmu_audit.report.strings import Strings
from grmu_audit.report.svg import Drawing
from grmu_audit.report.tables import protected, reference_titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_GROUPS = 12
"""Groups in one drawing; with more, those with the lowest accuracy (or the largest share) are drawn and the table holds all."""

_MARKERS = ("o", "s", "^", "D")


def build_charts(found: Lookup, strings: Strings) -> dict[str, Drawing | None]:
    """All drawings by name (``groups``, ``rules``, ``composition``); None where there is nothing to draw."""
    return {
        "groups": draw_groups(found, strings),
        "rules": draw_rules(found, strings),
        "composition": draw_composition(found, strings),
    }


def draw_groups(found: Lookup, strings: Strings) -> Drawing | None:
    """Test accuracy of each group before, retrained and after, with intervals; hidden cells are left out."""
    groups = _lowest(found, [group for group in found.groups if _shown(found.value("accuracy", CANDIDATE, group))])
    if not groups:
        return None
    series = _series(found, strings)
    lane, top = 11.0, 30.0
    step = 24 + lane * len(series) + 6
    height = top + step * len(groups)
    rows = [(found.group_name(group), [found.value("accuracy", subject, group) for subject, *_ in series]) for group in groups]

    scale = _accuracy_scale([value for _, values in rows for value in values])

    def paint(axes: Axes) -> None:
        _grid(axes, top - 8, height, scale)
        for index, (label, values) in enumerate(rows):
            base = top + step * index + 13
            axes.text(0, base, svg.shorten(label), color=svg.INK, weight="bold")
            for at, (value, (_, colour, marker, _)) in enumerate(zip(values, series, strict=True)):
                _interval_mark(axes, base + 10 + lane * at, value, (colour, marker), scale)

    title, words = strings.text("charts.groups.title"), numbers.confidence(_confidence(rows))
    shown = ", ".join(label for _, _, _, (_, label) in series)
    description = strings.text("charts.groups.description", count=len(groups), series=shown, confidence=words)
    if len(groups) < len(found.groups):
        description += " " + strings.text("charts.lowest", shown=len(groups), count=len(found.groups))
    drawn = svg.draw("chart-groups", height, paint, title=title, description=description)
    legend = tuple((kind, label) for _, _, _, (kind, label) in series)
    return Drawing("chart-groups", title, description, drawn, legend)


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
            axes.text(0, base, svg.shorten(label), color=svg.INK, weight="bold")
            _bar(axes, base + 13, train, svg.BEFORE, strings)
            _bar(axes, base + 27, forget, svg.AFTER, strings)

    title, description = strings.text("charts.composition.title"), strings.text("charts.composition.description")
    if len(rows) < len(counts):
        description += " " + strings.text("charts.largest", shown=len(rows), count=len(counts))
    drawn = svg.draw("chart-composition", height, paint, title=title, description=description)
    legend = (("before bar", strings.text("charts.training")), ("after bar", strings.text("charts.forget")))
    return Drawing("chart-composition", title, description, drawn, legend)


def _series(found: Lookup, strings: Strings) -> list[tuple[str, str, str, tuple[str, str]]]:
    """Subject, colour, marker, and legend entry of each series that has a value."""
    listed = [(BASELINE, svg.BEFORE, "before", strings.text("columns.before"))]
    for index, (subject, title) in enumerate(zip(found.references, reference_titles(found, strings), strict=False)):
        listed.append((subject, svg.REFERENCE, f"reference reference-{index + 1}", title))
    listed.append((CANDIDATE, svg.AFTER, "after", strings.text("columns.after")))
    known = {value.subject for value in found.audit.metrics if value.name == "accuracy"}
    markers = dict(zip(("before", "reference reference-1", "reference reference-2", "after"), _MARKERS, strict=True))
    return [(subject, colour, markers[kind], (kind, label)) for subject, colour, kind, label in listed if subject in known]


def _lowest(found: Lookup, groups: list[Group]) -> list[Group]:
    """At most ``MOST_GROUPS`` groups: those with the lowest accuracy, in their own order."""

    def accuracy(group: Group) -> float:
        value = found.value("accuracy", CANDIDATE, group)
        return value.value if value is not None and value.value is not None else 2.0

    return sorted(sorted(groups, key=accuracy)[:MOST_GROUPS])


def _shown(value: MetricValue | None) -> bool:
    return value is not None and value.value is not None and not numbers.hidden(value)


def _confidence(rows: Sequence[tuple[str, list[MetricValue | None]]]) -> float:
    return next((value.confidence for _, values in rows for value in values if value is not None), 0.95)


def _accuracy_scale(values: Sequence[MetricValue | None]) -> tuple[int, int]:
    """Ends of the axis in per cent: multiples of 20 that hold every point and interval; the upper end is 100."""
    shown = [value for value in values if value is not None and _shown(value)]
    lows = [min([value.value or 0.0, *(value.interval or ())]) for value in shown]
    return min(int(100 * max(min(lows, default=0.0), 0.0) // 20) * 20, 80), 100


def _x(value: float, scale: tuple[int, int]) -> float:
    low, high = scale[0] / 100, scale[1] / 100
    return 8 + (svg.WIDTH - 16) * (min(max(value, low), high) - low) / (high - low)


def _grid(axes: Axes, top: float, height: float, scale: tuple[int, int]) -> None:
    low, high = scale
    for tick in range(low, high + 1, 5 if high - low <= 20 else 10 if high - low <= 40 else 20):
        x = _x(tick / 100, scale)
        axes.plot([x, x], [top, height], color=svg.LINE, lw=1, zorder=0)
        align = "left" if tick == low else "right" if tick == high else "center"
        place = 0 if tick == low else svg.WIDTH if tick == high else x
        axes.text(place, top - 6, f"{tick} %", color=svg.MUTED, ha=align, size=svg.SMALL)


def _interval_mark(axes: Axes, y: float, value: MetricValue | None, look: tuple[str, str], scale: tuple[int, int]) -> None:
    if value is None or not _shown(value) or value.value is None:
        return
    colour, marker = look
    if value.interval is not None:
        axes.plot([_x(edge, scale) for edge in value.interval], [y, y], color=colour, lw=2.2, solid_capstyle="round", zorder=2)
    axes.scatter(
        [_x(value.value, scale)], [y], s=52, color=colour, marker=marker, edgecolors=svg.SURFACE, linewidths=1.2, zorder=3
    )


def _shares(counts: Sequence[int]) -> list[float | None]:
    """Share of each cell in its column; None where it must not be shown."""
    total = sum(counts)
    return [None if secret else count / total if total else 0.0 for count, secret in zip(counts, protected(counts), strict=True)]


def _bar(axes: Axes, y: float, share: float | None, colour: str, strings: Strings) -> None:
    room = svg.WIDTH - 52
    if share is None:
        axes.text(0, y + 4, strings.text("charts.suppressed"), color=svg.MUTED, size=svg.SMALL, style="italic")
        return
    width = max(room * share, 1.5)
    axes.barh([y], [width], height=10, color=colour)
    axes.text(width + 6, y + 4, numbers.percent(share), color=svg.INK, size=svg.SMALL)
