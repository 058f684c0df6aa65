"""Several versions side by side: every number with its interval, paired differences to the first, small multiples."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grmu_audit.errors import InputError, IntegrityError
from grmu_audit.metrics.catalog.wording import NBSP, REPORT_STYLE
from grmu_audit.records import BASELINE, CANDIDATE, Audit, Group, MetricValue
from grmu_audit.report.charts import svg
from grmu_audit.report.charts.axes import Panel, even, frame
from grmu_audit.report.charts.svg import Drawing
from grmu_audit.report.content.lookup import Lookup, model_label
from grmu_audit.report.content.series import BEFORE, BREACH, INK, LINE, PASS, SURFACE, UNDECIDED
from grmu_audit.report.content.tables import one_line, with_interval
from grmu_audit.report.content.view import decision_key
from grmu_audit.report.content.view_model import Column, Table
from grmu_audit.report.formats.html import render_page
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import metric_words, safe_name, safe_sentence
from grmu_audit.report.wording.strings import Strings, load_strings
from grmu_audit.utils.terminal_tables import NARROW, fit_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_VERSIONS = 6
"""Versions in one comparison."""
_LOOKS = {"pass": (PASS, "o"), "breach": (BREACH, "X"), "inconclusive": (UNDECIDED, "^")}
_NOT_JUDGED = (BEFORE, "s")
_ROW = 20.0


@dataclass(frozen=True)
class Compared:
    """One version of a comparison."""

    label: str
    """``name/version``."""
    word: str
    """Verdict on it, NOT JUDGED, or EVIDENCE DAMAGED."""
    state: str
    """The verdict as a style name; ``breach`` for damaged evidence."""
    method: str
    """How it was created."""
    found: Lookup
    """Its numbers; the first version is the baseline of all others."""
    problem: str = ""
    """Why its stored audit cannot be relied on."""


Judged = Audit | IntegrityError | None
"""The stored audit of a version, why it cannot be relied on, or None where the version was never audited."""


def require_version_count(count: int) -> None:
    """``InputError`` for fewer than two or more than ``MOST_VERSIONS`` versions."""
    if not 2 <= count <= MOST_VERSIONS:
        raise InputError(f"{count} version{'' if count == 1 else 's'} to compare: give 2 to {MOST_VERSIONS}")


def describe_versions(audits: Sequence[Audit], verdicts: Sequence[Judged], strings: Strings) -> list[Compared]:
    """The versions of a comparison.

    Args:
        audits: one a version, all over the same samples; each after the first has the first as its baseline.
        verdicts: the judged audit of each version, None, or the error by which it cannot be relied on.
        strings: sentences.

    Raises:
        InputError: fewer than two or more than ``MOST_VERSIONS`` versions.
    """
    require_version_count(len(audits))
    result = []
    for audit, judged in zip(audits, verdicts, strict=True):
        key, state, problem = _standing(judged)
        method = safe_name(audit.subject.method or "–") + (" + REWEIGHT" if audit.subject.reweight else "")
        word = strings.text(f"decisions.{key}")
        result.append(Compared(model_label(audit.subject), word, state, method, Lookup.of(audit), problem))
    return result


def _standing(judged: Judged) -> tuple[str, str, str]:
    """Key of the decision's word, style name, and what is wrong with the evidence."""
    if isinstance(judged, IntegrityError):
        return "EVIDENCE_DAMAGED", "breach", safe_sentence(str(judged))
    key = decision_key(judged) if judged is not None else "NOT_JUDGED"
    return key, key.lower().replace("_", "-"), ""


def comparison_tables(versions: Sequence[Compared], strings: Strings) -> list[Table]:
    """Metrics that are not broken down by group, then test accuracy by group; below later versions the paired change."""
    metrics = _defined(versions)
    rows = [[_metric_label(metric), *_cells(versions, metric, None)] for metric in metrics]
    groups = sorted({group for version in versions for group in version.found.groups})
    by_group = [[versions[0].found.group_name(group), *_cells(versions, "accuracy", group)] for group in groups]
    heads = [Column(title=version.label, kind="number") for version in versions]
    first = [Column(title=strings.text(f"columns.{key}"), kind="text") for key in ("metric", "group")]
    captions = [strings.text("compare.metrics"), strings.text("tables.groups")]
    tables = [Table(caption=captions[i], columns=[first[i], *heads], rows=part) for i, part in enumerate((rows, by_group))]
    return [table for table in tables if table["rows"]]


def _defined(versions: Sequence[Compared]) -> list[str]:
    """Metrics that at least one version has a value of."""
    values = [value for version in versions for value in version.found.audit.metrics if value.group is None]
    return list(dict.fromkeys(v.name for v in values if v.subject == CANDIDATE and v.value is not None))


def _metric_label(metric: str) -> str:
    title = metric_words(metric).title
    return safe_name(metric) if title == safe_name(metric) else f"{safe_name(metric)}\n{title}"


def _cells(versions: Sequence[Compared], metric: str, group: Group | None) -> list[str]:
    cells = [with_interval(versions[0].found.value(metric, CANDIDATE, group))]
    for version in versions[1:]:
        change = version.found.value(metric, BASELINE.as_change(), group)
        cells.append(with_interval(version.found.value(metric, CANDIDATE, group)))
        if numbers.has_number(change):
            cells[-1] += f"\nΔ {numbers.estimate(change)} ({numbers.interval_of(change)})"
    return cells


def render_comparison(audits: Sequence[Audit], verdicts: Sequence[Judged], kind: str = "html", width: int = NARROW) -> str:
    """A comparison as one self-contained HTML page, or as text.

    Args:
        audits: see ``describe_versions``.
        verdicts: see ``describe_versions``.
        kind: ``html`` or ``text``.
        width: columns of the terminal, for text.

    Raises:
        InputError: see ``describe_versions``; an unknown kind.
    """
    strings = load_strings()
    versions = describe_versions(audits, verdicts, strings)
    tables = comparison_tables(versions, strings)
    if kind == "text":
        return _text(versions, tables, strings, width)
    if kind != "html":
        raise InputError(f"a comparison has no format {kind!r}: known are html and text")
    return render_page(
        "compare.html.j2",
        None,
        strings,
        versions=versions,
        tables=tables,
        conclusion=conclusion(versions, strings),
        lead=_multiple("lead", versions, (_LEAD, None), strings),
        drawings=_drawings(versions, strings),
        lang=strings.text("language"),
        data=safe_sentence(versions[0].found.audit.data.name),
    )


def _text(versions: Sequence[Compared], tables: Sequence[Table], strings: Strings, width: int) -> str:
    said = [line for text in conclusion(versions, strings) for line in textwrap.wrap(text, width)]
    standing = [[v.label, v.word, v.method] for v in versions]
    parts = ["\n".join(said), "\n".join(fit_table(standing[0], standing[1:], [False] * 3, width))]
    for table in tables:
        titles = [column["title"] for column in table["columns"]]
        rows = [[one_line(row[0]), *row[1:]] for row in table["rows"]]
        numeric = [False, *([True] * (len(titles) - 1))]
        parts.append("\n".join([table["caption"], *fit_table(titles, rows, numeric, width)]))
    return "\n\n".join(parts).replace(NBSP, " ") + "\n"


def conclusion(versions: Sequence[Compared], strings: Strings) -> list[str]:
    """Which version met its policy, and how it differs from the first on everybody and on the group that is served worst.

    Among several that passed, the one with the highest test accuracy is named, as a guess from the estimates.
    """
    passed = [version for version in versions if version.state == "pass"]
    names = ", ".join(version.label for version in passed)
    best = max(passed, key=_accuracy) if passed else None
    key = "none" if best is None else "one" if len(passed) == 1 else "several"
    said = [strings.text(f"compare.passed.{key}", count=len(versions), passed=len(passed), names=names, best=best and best.label)]
    others = [best] if best is not None and best is not versions[0] else [v for v in versions[1:] if best is None]
    for version in others:
        said += [_difference(version, versions[0].label, metric, strings) for metric in (_LEAD, "WG")]
    return [text for text in said if text]


_LEAD = "TA"
"""The metric of the first sentence and of the first drawing: accuracy on all test samples."""


def _accuracy(version: Compared) -> float:
    value = version.found.value(_LEAD)
    return value.value if value is not None and value.value is not None else -1.0


def _difference(version: Compared, first: str, metric: str, strings: Strings) -> str:
    """How a version differs from the first in one metric, and whether chance explains it; empty where it was not measured."""
    change = version.found.value(metric, BASELINE.as_change())
    if not numbers.has_number(change) or change.interval is None:
        return ""
    low, high = change.interval
    key = "worse" if high < 0 else "better" if low > 0 else "unclear"
    values = {"what": strings.text(f"compare.what.{metric}"), "version": version.label, "first": first}
    return strings.text(
        f"compare.difference.{key}", size=numbers.estimate(change), interval=numbers.interval_of(change), **values
    )


def _drawings(versions: Sequence[Compared], strings: Strings) -> list[Drawing]:
    """One small drawing a metric that is a fraction, and one a group."""
    drawn = [
        _multiple(f"metric-{i}", versions, (metric, None), strings)
        for i, metric in enumerate(_defined(versions))
        if metric != _LEAD
    ]
    for i, group in enumerate(versions[0].found.groups[:12]):
        drawn.append(_multiple(f"group-{i}", versions, ("accuracy", group), strings))
    return [drawing for drawing in drawn if drawing is not None]


def _multiple(key: str, versions: Sequence[Compared], what: tuple[str, Group | None], strings: Strings) -> Drawing | None:
    """One number of every version: a metric of the whole, or of one group."""
    metric, group = what
    name = metric_words(metric).title if metric == _LEAD else safe_name(metric)
    title = name if group is None else versions[0].found.group_name(group)
    values = [version.found.value(metric, CANDIDATE, group) for version in versions]
    shown = [value for value in values if numbers.has_number(value)]
    if not shown:
        return None
    edges = [edge for value in shown for edge in (*(value.interval or ()), value.value or 0.0)]
    ticks = even(min(edges), max(edges), 3)
    ticks = ticks if len(ticks) > 1 else [ticks[0], ticks[0] + 0.1]
    panel = Panel(6, _ROW * len(versions), (ticks[0], ticks[-1]), (0.0, 1.0), left=110)
    unit = shown[0].unit

    def paint(axes: Axes) -> None:
        frame(axes, panel, [(tick, re.sub(r"\.0(?!\d)", "", REPORT_STYLE.number(tick, unit))) for tick in ticks], [])
        for index, (version, value) in enumerate(zip(versions, values, strict=True)):
            y = panel.top + _ROW * (index + 0.5)
            axes.text(0, y + 4, svg.shorten(version.label, 17), color=INK, size=svg.SMALL)
            axes.plot([panel.left, panel.right], [y, y], color=LINE, lw=1, zorder=0)
            if numbers.has_number(value):
                _point(axes, panel, y, value, _LOOKS.get(version.state, _NOT_JUDGED))

    words = strings.text("compare.description", what=title)
    drawn = svg.draw(f"chart-{key}", panel.height + 28, paint, title=title, description=words)
    return Drawing(f"chart-{key}", title, metric_words(metric).title if group is None else "", drawn, ())


def _point(axes: Axes, panel: Panel, y: float, value: MetricValue, look: tuple[str, str]) -> None:
    if value.interval is not None:
        axes.plot([panel.x(edge) for edge in value.interval], [y, y], color=look[0], lw=2.2, solid_capstyle="round", zorder=2)
    place = panel.x(value.value or 0.0)
    axes.scatter([place], [y], s=48, color=look[0], marker=look[1], edgecolors=SURFACE, linewidths=1.1, zorder=3)
