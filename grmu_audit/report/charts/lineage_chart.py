"""The drawing of a lineage: accuracies of every version, from the first to the audited one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grmu_audit.report.charts.axes import Panel, even, frame, line
from grmu_audit.report.charts.svg import Caption, Drawing, make_drawing
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.series import history, history_series, strokes
from grmu_audit.report.wording.strings import Strings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_TICKS = 8


def draw_lineage(found: Lookup, strings: Strings) -> Drawing | None:
    """One line a metric with a bar for each interval, one step a version."""
    rows = history(found)
    drawn = [one for one in history_series() if any(one.name in row.values for row in rows)]
    if len(rows) < 2 or not drawn:
        return None
    edges = [edge for row in rows for values in row.values.values() for edge in values]
    ticks = even(min(edges), max(edges), 4)
    last = len(rows) - 1
    panel = Panel(18, 190, (0.0, float(last)), (ticks[0], ticks[-1]), x_label=strings.text("charts.lineage.axis"))
    every = max(1, -(-len(rows) // _MOST_TICKS))

    def paint(axes: Axes) -> None:
        numbers = [(float(at), rows[at].number) for at in range(len(rows)) if at % every == 0 or at == last]
        frame(axes, panel, numbers, [(tick, f"{100 * tick:g} %") for tick in ticks])
        for index, series in enumerate(drawn):
            aside = 3.0 * (index - (len(drawn) - 1) / 2)
            points = [(at, row.values[series.name]) for at, row in enumerate(rows) if series.name in row.values]
            for at, (_, low, high) in points:
                axes.plot([panel.x(at) + aside] * 2, [panel.y(low), panel.y(high)], color=series.colour, lw=1, zorder=1)
            line(axes, panel, [(at, values[0]) for at, values in points], series, marks=True)

    caption = Caption(strings.text("charts.lineage.title"), strings.text("charts.lineage.description"))
    return make_drawing("chart-lineage", 252, paint, caption, strokes(drawn))
