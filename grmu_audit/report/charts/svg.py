"""Matplotlib figures as inline SVG: the same bytes for the same drawing, text as text, colours from the page's style.

Figures are drawn with stand-in colours; the finished SVG refers to the page's custom properties instead, so that one drawing
serves light, dark and print.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grmu_audit.report.content.series import (
    AFTER,
    ALLOWED,
    BEFORE,
    BREACH,
    INK,
    LINE,
    MUTED,
    PASS,
    REFERENCE,
    SURFACE,
    UNDECIDED,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 340.0
"""Width of every drawing in its own units; small, so that its text stays readable on a telephone."""
FONT = 12.0
"""Size of text in a drawing, in the same units."""
SMALL = 10.5
"""Size of the text of axes and bounds."""
_PROPERTIES = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    BEFORE: "var(--before)",
    REFERENCE: "var(--reference)",
    AFTER: "var(--after)",
    ALLOWED: "var(--allowed)",
    SURFACE: "var(--surface)",
    PASS: "var(--pass)",
    BREACH: "var(--breach)",
    UNDECIDED: "var(--inconclusive)",
}
Paint = Callable[["Axes"], None]
"""Draws on axes."""
_RC = {"svg.fonttype": "none", "text.parse_math": False, "font.size": FONT, "path.simplify": False, "axes.unicode_minus": True}


@dataclass(frozen=True)
class Drawing:
    """One drawing with its words."""

    id: str
    """Unique in the page."""
    title: str
    """Heading."""
    description: str
    """What the chart shows."""
    svg: str
    """The ``<svg>`` element; safe markup."""
    legend: tuple[tuple[str, str], ...]
    """Style name and words of each series."""


@dataclass(frozen=True)
class Caption:
    """Words of a drawing, in the page and as its text alternative."""

    title: str
    """Heading."""
    description: str
    """What the chart shows."""


def make_drawing(identity: str, height: float, paint: Paint, caption: Caption, legend: tuple[tuple[str, str], ...]) -> Drawing:
    """A drawing with its words; see ``draw``."""
    drawn = draw(identity, height, paint, title=caption.title, description=caption.description)
    return Drawing(identity, caption.title, caption.description, drawn, legend)


def draw(identity: str, height: float, paint: Paint, *, title: str, description: str) -> str:
    """One drawing as an ``<svg>`` element.

    Args:
        identity: unique in the page; letters, digits and hyphens.
        height: in the units of ``WIDTH``.
        paint: draws on axes whose data units are the drawing's own: x from 0 to ``WIDTH``, y from 0 at the top to ``height``.
        title: short text alternative.
        description: what is to be seen.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _style(identity):
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor="none")
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0, 0, 1, 1), frameon=False)
        axes.set(xlim=(0, WIDTH), ylim=(height, 0), xticks=[], yticks=[])
        paint(axes)
        stream = io.StringIO()
        figure.savefig(
            stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    return _finish(stream.getvalue(), identity, height, title, description)


def shorten(label: str, limit: int = 40) -> str:
    """A label that fits; the table of the same numbers has the whole.

    >>> shorten("abcdef", 4)
    'abc…'
    """
    return label if len(label) <= limit else label[: limit - 1] + "…"


@contextmanager
def _style(identity: str) -> Iterator[None]:
    import matplotlib as mpl

    settings: Any = {key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith("backend")}
    settings |= {**_RC, "svg.hashsalt": identity}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that the measuring font lacks; the reader's browser has its own fonts
        yield


def _finish(raw: str, identity: str, height: float, title: str, description: str) -> str:
    body = raw[raw.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r'<style type="text/css">.*?</style>', "", body, flags=re.S)
    body = body[body.index(">") + 1 :]
    body = _own_ids(body, identity)
    for stand_in, value in _PROPERTIES.items():
        body = body.replace(stand_in, value)
    body = re.sub(r" font-family: [^;\"]*;?", "", body)
    body = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", body)
    body = re.sub(r"<defs>\s*</defs>|<g/>", "", body)
    body = re.sub(r"\n\s*", "\n", body)
    head = (
        f'<svg class="chart" role="img" aria-labelledby="{identity}-title {identity}-desc" viewBox="0 0 {WIDTH:g} {height:g}"'
        ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{identity}-title">{html.escape(title)}</title><desc id="{identity}-desc">{html.escape(description)}</desc>'
    )
    return head + body.strip()


def _own_ids(body: str, identity: str) -> str:
    """Keep only the ids that are referred to, made unique in the page."""
    used = set(re.findall(r'(?:url\(#|href="#)([\w.-]+)', body))

    def rename(match: re.Match[str]) -> str:
        return f' id="{identity}-{match.group(1)}"' if match.group(1) in used else ""

    body = re.sub(r'\sid="([\w.-]+)"', rename, body)
    return re.sub(r'(url\(#|href="#)([\w.-]+)', rf"\g<1>{identity}-\g<2>", body)
