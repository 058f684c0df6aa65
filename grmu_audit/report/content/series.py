"""The compared versions as series of a drawing: one colour, one marker and one stroke each, the same in every drawing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from grmu_audit.records import BASELINE, CANDIDATE
from grmu_audit.report.content.lookup import Lookup
from grmu_audit.report.content.tables import reference_titles
from grmu_audit.report.wording.strings import Strings

INK, MUTED, LINE = "#010101", "#010102", "#010103"
BEFORE, REFERENCE, AFTER = "#010104", "#010105", "#010106"
ALLOWED, SURFACE = "#010107", "#010108"
PASS, BREACH, UNDECIDED = "#010109", "#01010a", "#01010b"
Dash = tuple[float, tuple[float, ...]] | str
"""A stroke as the plotting library names it."""
SOLID: Dash = "-"
DASHED: Dash = (0, (5, 2.5))
DOTTED: Dash = (0, (1.2, 2.2))
DASH_DOTTED: Dash = (0, (6, 2, 1.2, 2))


@dataclass(frozen=True)
class Series:
    """One series."""

    name: str
    """Text of a subject (``candidate``) or part (``forget``) whose values are drawn."""
    label: str
    """Words of the legend."""
    kind: str
    """Style name of the legend's key."""
    colour: str
    """Stand-in colour of ``svg``."""
    marker: str
    """Marker of points."""
    dash: Dash
    """Stroke of lines."""


def version_series(found: Lookup, strings: Strings, having: Collection[str]) -> list[Series]:
    """The version before unlearning, up to two references, and the audited version, as far as ``having`` names them."""
    listed = [Series(str(BASELINE), strings.text("columns.before"), "before", BEFORE, "o", DOTTED)]
    looks = (("reference reference-1", "s", DASHED), ("reference reference-2", "^", DASH_DOTTED))
    for subject, title, (kind, marker, dash) in zip(found.references, reference_titles(found, strings), looks, strict=False):
        listed.append(Series(str(subject), title, kind, REFERENCE, marker, dash))
    listed.append(Series(str(CANDIDATE), strings.text("columns.after"), "after", AFTER, "D", SOLID))
    return [series for series in listed if series.name in having]


def split_series(strings: Strings) -> list[Series]:
    """Retain, unseen and forget samples."""
    words = {name: strings.text(f"charts.parts.{name}") for name in ("retain", "unseen", "forget")}
    return [
        Series("retain", words["retain"], "before", BEFORE, "o", DOTTED),
        Series("unseen", words["unseen"], "reference reference-1", REFERENCE, "s", DASHED),
        Series("forget", words["forget"], "after", AFTER, "D", SOLID),
    ]


def strokes(series: list[Series]) -> tuple[tuple[str, str], ...]:
    """The legend of lines."""
    return tuple((f"{one.kind} stroke", one.label) for one in series)
