"""The forgetting share on its scale: from the version before to a retrained model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grmu_audit.metrics.catalog.wording import REPORT_STYLE, confidence_text
from grmu_audit.report.charts import svg
from grmu_audit.report.charts.svg import Caption, Drawing, make_drawing
from grmu_audit.report.content.forgetting import SHARE, RequestShare, ShareScale, request_shares, share_scale
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.series import (
    AFTER,
    ALLOWED,
    BEFORE,
    DASHED,
    DOTTED,
    INK,
    LINE,
    MUTED,
    REFERENCE,
    SURFACE,
    Dash,
)
from grmu_audit.report.wording.strings import Strings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _RIGHT = 10.0, svg.WIDTH - 10.0
_LOWEST, _HIGHEST = -1.0, 3.0
_ROW, _SPREAD, _BELOW = 52.0, 96.0, 18.0
"""Heights: of the version's row, of the row of retrained models, and from there to the axis."""


_TRUTHS: tuple[tuple[float, str, str, Dash], ...] = ((0.0, "before", BEFORE, DOTTED), (1.0, "retrained", REFERENCE, DASHED))
"""The two models of known truth: share, words, colour, line."""


@dataclass(frozen=True)
class _Place:
    """Where a share lies on the drawing."""

    low: float
    high: float
    left: float = _LEFT

    @classmethod
    def of(cls, scale: ShareScale) -> _Place:
        """Ends that hold 0, 1 and everything drawn, but for what lies very far out."""
        points = [0.0, 1.0, scale.value, *scale.interval, *scale.references]
        return cls(max(min(points) - 0.18, _LOWEST), min(max(points) + 0.18, _HIGHEST))

    def x(self, share: float) -> float:
        """Place of a share, limited to the ends."""
        return self.left + (_RIGHT - self.left) * (min(max(share, self.low), self.high) - self.low) / (self.high - self.low)


def draw_share(found: Lookup, strings: Strings) -> Drawing | None:
    """The version with its interval and one-sided limit, what the policy requires, and the retrained models' own spread."""
    scale = share_scale(found)
    if scale is None:
        return None
    value, verdict = found.value(SHARE), found.audit.verdict
    axis = (_SPREAD if scale.references else _ROW + 14) + _BELOW
    described = strings.text(
        "forgotten.description",
        interval=confidence_text(value.confidence if value else 0.95),
        confidence=confidence_text(verdict.confidence if verdict else 0.95),
        references=strings.text(f"forgotten.{'several_references' if scale.references else 'one_reference'}"),
    )
    legend = [("after", strings.text("forgotten.version")), ("line", strings.text("charts.interval"))]
    legend += [("reference", strings.text("forgotten.models"))] if scale.references else []
    legend += [("bar allowed", strings.text("charts.allowed"))] if any(edge is not None for edge in scale.allowed) else []

    def paint(axes: Axes) -> None:
        """Draw every row."""
        place = _Place.of(scale)
        _paint_scale(axes, place, axis, strings)
        _paint_version(axes, place, scale, strings)
        if scale.references:
            _paint_references(axes, place, scale.references)

    return make_drawing("chart-share", axis + 26, paint, Caption(strings.text("forgotten.scale"), described), tuple(legend))


def _paint_scale(axes: Axes, place: _Place, bottom: float, strings: Strings) -> None:
    """The two models of known truth as upright lines with their words, and the axis."""
    for share, key, colour, dash in _TRUTHS:
        x = place.x(share)
        for start, end in ((20.0, _ROW + 12), (_ROW + 29, bottom)):  # not through the words of the limit
            axes.plot([x, x], [start, end], color=colour, lw=1.6, linestyle=dash, zorder=1)
        centre = min(max(x, 36.0), svg.WIDTH - 38.0)
        axes.text(centre, 13, strings.text(f"forgotten.{key}"), color=INK, weight="bold", ha="center")
    axes.plot([_LEFT, _RIGHT], [bottom] * 2, color=LINE, lw=1, zorder=0)
    steps = 0.5 if place.high - place.low <= 2.5 else 1.0
    ticks = [number * steps for number in range(round(_LOWEST / steps), round(_HIGHEST / steps) + 1)]
    for share in (tick for tick in ticks if place.low <= tick <= place.high):
        axes.plot([place.x(share)] * 2, [bottom, bottom + 4], color=MUTED, lw=1, zorder=0)
        words = f"{100 * share:.0f} %".replace("-", "−")
        axes.text(min(max(place.x(share), 14.0), svg.WIDTH - 18.0), bottom + 17, words, color=MUTED, ha="center", size=svg.SMALL)


def _paint_version(axes: Axes, place: _Place, scale: ShareScale, strings: Strings) -> None:
    """Allowed range, interval, the bracket of the one-sided limit, the estimate."""
    least, most = scale.allowed
    if least is not None or most is not None:
        start, end = place.x(place.low if least is None else least), place.x(place.high if most is None else most)
        axes.barh([_ROW], [end - start], left=[start], height=16, color=ALLOWED, zorder=0)
    axes.plot([place.x(edge) for edge in scale.interval], [_ROW] * 2, color=AFTER, lw=3, solid_capstyle="round", zorder=3)
    for edge, beyond, marker in ((scale.interval[0], place.low, "<"), (scale.interval[1], place.high, ">")):
        if (edge < beyond) if marker == "<" else (edge > beyond):
            axes.scatter([place.x(edge)], [_ROW], s=60, color=AFTER, marker=marker, zorder=4)
    x = place.x(scale.limit)
    axes.plot([x + 4, x, x, x + 4], [_ROW - 10, _ROW - 10, _ROW + 10, _ROW + 10], color=INK, lw=1.8, zorder=5)
    words = strings.text("forgotten.above", limit=REPORT_STYLE.percent(scale.limit))
    axes.text(min(max(x, 34.0), svg.WIDTH - 38.0), _ROW + 23, words, color=INK, ha="center", size=svg.SMALL)
    axes.scatter([place.x(scale.value)], [_ROW], s=80, color=AFTER, marker="D", edgecolors=SURFACE, linewidths=1.2, zorder=6)


_REQUEST_ROW, _NAMES = 30.0, 120.0


def draw_requests(found: Lookup, strings: Strings) -> Drawing | None:
    """Every request of a lineage: its share when it was served, and now with its interval."""
    requests = [one for one in request_shares(found) if one.then is not None or one.now is not None]
    if not requests:
        return None
    bottom = 26 + _REQUEST_ROW * len(requests)
    points = [p for one in requests for p in (one.then, one.now, *(one.interval or ())) if p is not None]
    place = _Place(max(min(0.0, *points) - 0.1, _LOWEST), min(max(1.0, *points) + 0.1, _HIGHEST), _NAMES)

    def paint(axes: Axes) -> None:
        """One row a request."""
        for share, key, colour, dash in _TRUTHS:
            axes.plot([place.x(share)] * 2, [20.0, bottom], color=colour, lw=1.6, linestyle=dash, zorder=1)
            centre = min(max(place.x(share), _NAMES), svg.WIDTH - 44.0)
            axes.text(centre, 13, strings.text(f"forgotten.{key}"), color=INK, weight="bold", ha="center")
        for number, one in enumerate(requests):
            _paint_request(axes, place, one, 26 + _REQUEST_ROW * (number + 0.5), strings)

    legend = (("after", strings.text("forgotten.now")), ("before", strings.text("forgotten.then")))
    caption = Caption(strings.text("forgotten.requests_title"), strings.text("forgotten.requests_caption"))
    return make_drawing("chart-requests", bottom + 12, paint, caption, legend)


def _paint_request(axes: Axes, place: _Place, one: RequestShare, y: float, strings: Strings) -> None:
    axes.text(4, y, svg.shorten(one.served_by or strings.text("forgotten.version"), 18), color=INK, va="center", size=svg.SMALL)
    if one.then is not None:
        axes.scatter([place.x(one.then)], [y], s=60, color=BEFORE, marker="o", edgecolors=SURFACE, linewidths=1.2, zorder=3)
    if one.interval is not None:
        axes.plot([place.x(edge) for edge in one.interval], [y] * 2, color=AFTER, lw=3, solid_capstyle="round", zorder=2)
    if one.now is not None:
        axes.scatter([place.x(one.now)], [y], s=70, color=AFTER, marker="D", edgecolors=SURFACE, linewidths=1.2, zorder=4)


def _paint_references(axes: Axes, place: _Place, references: tuple[float, ...]) -> None:
    """Every retrained model as a mark, and the range that they span."""
    y, xs = _SPREAD, [place.x(share) for share in references]
    axes.plot([min(xs), max(xs)], [y, y], color=REFERENCE, lw=1.6, zorder=2)
    axes.scatter(xs, [y] * len(xs), s=56, color=REFERENCE, marker="s", edgecolors=SURFACE, linewidths=1.2, zorder=3)
