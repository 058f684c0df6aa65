"""Drawings of curves: losses, ROC, training, return, layers, radii.  Each returns None where the audit holds nothing to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grmu_audit.records import SUPPRESSED_BELOW
from grmu_audit.report.charts import svg
from grmu_audit.report.charts.axes import Panel, Ticks, decades, even, frame, line, mark
from grmu_audit.report.charts.svg import Caption, Drawing, make_drawing
from grmu_audit.report.content import curve_data
from grmu_audit.report.content.curve_data import logged_words
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.series import DOTTED, INK, LINE, MUTED, Series, split_series, strokes, version_series
from grmu_audit.report.wording.names import safe_name
from grmu_audit.report.wording.strings import Strings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LAYERS = 24
"""Layers in the drawing; the table holds all."""
MOST_PANELS = 6
"""Logged numbers in the drawing of the training; the table holds all."""
_PER_CENT: Ticks = [(share, f"{100 * share:g} %") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
_LOWEST_RATE = 0.001


def draw_losses(found: Lookup, strings: Strings) -> Drawing | None:
    """Share of retain, unseen and forget samples with a loss up to a value, one panel a version."""
    held = curve_data.losses(found)
    versions = version_series(found, strings, held)
    if not versions:
        return None
    edges = [edge for version in versions for edge in held[version.name].edges]
    low, high = min(edges), max(edges)
    shown = [part for part in split_series(strings) if any(part.name in held[version.name].shares for version in versions)]
    step = 150.0

    def paint(axes: Axes) -> None:
        for index, version in enumerate(versions):
            label = strings.text("charts.losses.axis") if index == len(versions) - 1 else ""
            panel = Panel(26 + step * index, 92, (low, high), (0.0, 1.0), log=True, title=version.label, x_label=label)
            frame(axes, panel, decades(low, high), _PER_CENT[::2])
            item = held[version.name]
            for part in shown:
                if part.name in item.shares:
                    line(axes, panel, list(zip(item.edges, item.shares[part.name], strict=True)), part)

    return make_drawing("chart-losses", step * len(versions) + 8, paint, _caption("losses", strings), strokes(shown))


def draw_roc(found: Lookup, strings: Strings) -> Drawing | None:
    """True-positive against false-positive rate of the attack on a logarithmic axis, with its operating points."""
    held = curve_data.rocs(found)
    versions = version_series(found, strings, held)
    if not versions:
        return None
    panel = Panel(18, 220, (_LOWEST_RATE, 1.0), (0.0, 1.0), log=True, x_label=strings.text("charts.roc.axis"))
    chance = Series("chance", strings.text("charts.roc.chance"), "chance", MUTED, "o", DOTTED)

    def paint(axes: Axes) -> None:
        ticks = [(rate, f"{100 * rate:g} %") for rate, _ in decades(_LOWEST_RATE, 1.0)]
        frame(axes, panel, ticks, _PER_CENT)
        grid = [10 ** (-3 + 3 * i / 40) for i in range(41)]
        xs, ys = [panel.x(x) for x in grid], [panel.y(x) for x in grid]
        axes.plot(xs, ys, color=MUTED, lw=1, linestyle=(0, (2, 3)), zorder=1)
        for version in versions:
            points = [point for point in held[version.name].points if point[0] >= _LOWEST_RATE]
            line(axes, panel, points, version)
            mark(axes, panel, [(x, y) for x, y, _ in held[version.name].operating if y is not None], version)

    legend = (*strokes(versions), ("chance stroke", chance.label))
    return make_drawing("chart-roc", 282, paint, _caption("roc", strings), legend)


def draw_training(found: Lookup, strings: Strings) -> Drawing | None:
    """What each epoch logged, one panel a number, one line a version."""
    held = curve_data.epochs(found)
    versions = version_series(found, strings, held)
    logged = list(dict.fromkeys(key for version in reversed(versions) for key in held[version.name]))[:MOST_PANELS]
    if not logged:
        return None
    step = 118.0
    last = max(points[-1][0] for version in versions for points in held[version.name].values())

    def paint(axes: Axes) -> None:
        for index, key in enumerate(logged):
            lines = {version: held[version.name][key] for version in versions if key in held[version.name]}
            values = [value for points in lines.values() for _, value in points]
            ticks = even(min(values), max(values), 2)
            ticks = ticks if len(ticks) > 1 else [ticks[0], ticks[0] + 1]
            label = strings.text("charts.training.axis") if index == len(logged) - 1 else ""
            scales = (1, max(last, 2)), (ticks[0], ticks[-1])
            panel = Panel(26 + step * index, 62, *scales, title=logged_words(key, strings), x_label=label)
            x_ticks = [(epoch, f"{epoch:g}") for epoch in even(1, last, 4) if 1 < epoch <= last and epoch == int(epoch)]
            frame(axes, panel, [(1, "1"), *x_ticks], [(tick, f"{tick:.4g}") for tick in ticks])
            for version, points in lines.items():
                line(axes, panel, points, version)

    return make_drawing("chart-training", step * len(logged) + 12, paint, _caption("training", strings), strokes(versions))


def draw_return(found: Lookup, strings: Strings) -> Drawing | None:
    """Accuracy on the forget set by epoch of fine-tuning on the retain set, one line a version, bars for its intervals."""
    held = curve_data.returns(found)
    versions = version_series(found, strings, held)
    last = max((len(held[version.name]) - 1 for version in versions), default=0)
    if not last:
        return None
    panel = Panel(18, 190, (0.0, float(last)), (0.0, 1.0), x_label=strings.text("charts.return.axis"))

    def paint(axes: Axes) -> None:
        frame(axes, panel, [(tick, f"{tick:g}") for tick in even(0.0, float(last), 5) if tick == int(tick) <= last], _PER_CENT)
        for index, version in enumerate(versions):
            points = held[version.name]
            aside = 3.0 * (index - (len(versions) - 1) / 2)
            for epoch, (_, low, high) in enumerate(points):
                x = panel.x(epoch) + aside
                axes.plot([x, x], [panel.y(low), panel.y(high)], color=version.colour, lw=1, zorder=1)
            line(axes, panel, [(epoch, point[0]) for epoch, point in enumerate(points)], version, marks=True)

    return make_drawing("chart-return", 252, paint, _caption("return", strings), strokes(versions))


def draw_layers(found: Lookup, strings: Strings) -> Drawing | None:
    """Fairness-gap of each layer, from the input down to the output."""
    held = curve_data.layers(found)
    versions = version_series(found, strings, held)
    names = list(dict.fromkeys(layer for version in reversed(versions) for layer in held[version.name]))
    if not names:
        return None
    shown, step, top = names[:MOST_LAYERS], 26.0, 26.0
    ticks = even(0.0, max(max(held[version.name].values()) for version in versions) or 1.0, 4)
    height = step * len(shown)
    panel = Panel(top, height, (0.0, ticks[-1]), (0.0, 1.0), left=112, x_label=strings.text("charts.layers.axis"))

    def paint(axes: Axes) -> None:
        frame(axes, panel, [(tick, f"{tick:.4g}") for tick in ticks], [])
        for index, layer in enumerate(shown):
            y = 1 - (index + 0.5) / len(shown)
            axes.plot([panel.left, panel.right], [panel.y(y)] * 2, color=LINE, lw=1, zorder=0)
            axes.text(0, panel.y(y) + 4, svg.shorten(safe_name(layer), 16), color=INK, size=svg.SMALL)
            for version in versions:
                if layer in held[version.name]:
                    mark(axes, panel, [(held[version.name][layer], y)], version)

    more = " " + strings.text("charts.layers.more", shown=len(shown), count=len(names)) if len(shown) < len(names) else ""
    legend = tuple((version.kind, version.label) for version in versions)
    return make_drawing("chart-layers", top + height + 40, paint, _caption("layers", strings, more), legend)


def draw_radius(found: Lookup, strings: Strings) -> Drawing | None:
    """Accuracy under attack by radius, one panel an attack."""
    held = curve_data.radii(found)
    subjects = {subject for attack in held.values() for subject in attack}
    versions = version_series(found, strings, subjects)
    if not versions:
        return None
    step = 150.0
    largest = max(points[-1][0] for attack in held.values() for points in attack.values()) or 1.0

    def paint(axes: Axes) -> None:
        for index, (attack, lines) in enumerate(sorted(held.items())):
            label = strings.text("charts.radius.axis") if index == len(held) - 1 else ""
            panel = Panel(26 + step * index, 92, (0.0, largest), (0.0, 1.0), title=attack, x_label=label)
            ticks = [(tick, f"{tick:.4g}") for tick in even(0.0, largest, 4) if tick <= largest]
            frame(axes, panel, ticks, _PER_CENT[::2])
            for version in versions:
                if version.name in lines:
                    line(axes, panel, lines[version.name], version, marks=True)

    return make_drawing("chart-radius", step * len(held) + 8, paint, _caption("radius", strings), strokes(versions))


def _caption(key: str, strings: Strings, more: str = "") -> Caption:
    description = strings.text(f"charts.{key}.description", k=SUPPRESSED_BELOW) + more
    return Caption(strings.text(f"charts.{key}.title"), description)
