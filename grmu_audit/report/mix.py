"""A standalone SVG of the group mix before and after a forget list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grmu_audit.records import GroupCount
from grmu_audit.report import svg
from grmu_audit.report.clean import name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_GROUPS = 60
"""Groups that are drawn: the largest; the others are counted in the title."""
_STYLE = (
    "<style>svg{--muted:#5b6270;--line:#d5d9e0;--before:#7a8797;--after:#b4531f;--surface:#fff;color:#1b1f27;"
    "font-family:system-ui,sans-serif;background:#fff}"
    "@media(prefers-color-scheme:dark){svg{--muted:#a5adba;--line:#3a404b;--before:#8d9aab;--after:#e08a52;--surface:#16191f;"
    "color:#eceef2;background:#16191f}}</style>"
)


def group_mix_svg(groups: Sequence[GroupCount], title: str) -> str:
    """Share of each group in the training set, in what stays, and the REWEIGHT weight that gives it its old share.

    Args:
        groups: group table; without a forget set the two bars are equal and only one is drawn.
        title: heading.
    """
    shown = sorted(sorted(groups, key=lambda row: -row.train)[:MOST_GROUPS], key=lambda row: row.group)
    train, retain = sum(row.train for row in groups), sum(row.retain for row in groups)
    forgetting = any(row.forget for row in groups)
    step, top = (44.0, 44.0) if forgetting else (32.0, 44.0)
    more = f" ({len(groups) - len(shown)} more groups)" if len(shown) < len(groups) else ""
    described = f"Share of each of {len(shown)} groups in {train} training samples" + (
        f" and in the {retain} that stay, with REWEIGHT weights." if forgetting else "."
    )

    def paint(axes: Axes) -> None:
        """All marks of the drawing."""
        axes.text(0, 14, svg.shorten(name(title) + more, 52), color=svg.INK, weight="bold")
        legend = "grey: training set, orange: what stays, right: REWEIGHT weight" if forgetting else "share of the training set"
        axes.text(0, 29, legend, color=svg.MUTED, size=svg.SMALL)
        for index, row in enumerate(shown):
            base = top + step * index + 12
            axes.text(0, base, svg.shorten(name(row.name), 46), color=svg.INK, size=svg.SMALL)
            if forgetting:
                weight = f"× {row.train / row.retain:.2f}" if row.retain else "none left" if row.train else "no samples"
                axes.text(svg.WIDTH, base, weight, color=svg.INK, ha="right", size=svg.SMALL)
            _bar(axes, base + 9, row.train / train if train else 0.0, svg.BEFORE)
            if forgetting:
                _bar(axes, base + 20, row.retain / retain if retain else 0.0, svg.AFTER)

    drawn = svg.draw("group-mix", top + step * len(shown) + 8, paint, title=name(title), description=described)
    end = drawn.index("</desc>") + len("</desc>")
    return drawn[:end] + _STYLE + drawn[end:] + "\n"


def _bar(axes: Axes, y: float, share: float, colour: str) -> None:
    """A bar from the left edge with its share in per cent behind it."""
    width = (svg.WIDTH - 48) * share
    axes.plot([0, max(width, 0.8)], [y, y], color=colour, lw=7, solid_capstyle="butt")
    axes.text(width + 5, y + 3.5, f"{100 * share:.1f} %", color=svg.MUTED, size=svg.SMALL)
