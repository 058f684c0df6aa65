"""The table twins of the drawings of curves."""

from __future__ import annotations

from grmu_audit.report import curves, numbers
from grmu_audit.report.clean import name
from grmu_audit.report.curve_charts import logged_words
from grmu_audit.report.fields import Column, Table
from grmu_audit.report.lookup import Lookup
from grmu_audit.report.series import compared, parts
from grmu_audit.report.strings import Strings

MOST_EPOCHS = 12
"""Epochs of a version in the table; the audit file holds all."""

_NONE = "–"


def losses_table(found: Lookup, strings: Strings) -> Table:
    """Share of retain, unseen and forget samples with a loss up to each edge."""
    held, rows = curves.losses(found), []
    for version in compared(found, strings, held):
        item = held[version.name]
        for index, edge in enumerate(item.edges[1:], start=1):
            cells = [item.shares[part.name][index] if part.name in item.shares else None for part in parts(strings)]
            rows.append([version.label, f"{edge:.3g}", *(_NONE if cell is None else numbers.percent(cell) for cell in cells)])
    titles = [strings.text("columns.version"), strings.text("columns.loss_up_to"), *(part.label for part in parts(strings))]
    return _table("losses", titles, rows, strings)


def roc_table(found: Lookup, strings: Strings) -> Table:
    """Operating points and points of the curve of each version."""
    held, rows = curves.rocs(found), []
    for version in compared(found, strings, held):
        curve = held[version.name]
        for rate, true, why in curve.operating:
            cell = numbers.percent(true) if true is not None else f"{_NONE} ({name(why)})"
            rows.append([version.label, strings.text("charts.roc.operating"), numbers.percent(rate), cell])
        for rate, true in curve.points[1:]:
            rows.append([version.label, strings.text("charts.roc.point"), numbers.percent(rate), numbers.percent(true)])
    return _table("roc", [strings.text(f"columns.{key}") for key in ("version", "kind", "false_alarms", "found")], rows, strings)


def training_table(found: Lookup, strings: Strings) -> Table:
    """What each epoch logged."""
    held, rows = curves.epochs(found), []
    versions = compared(found, strings, held)
    logged = list(dict.fromkeys(key for version in reversed(versions) for key in held[version.name]))
    for version in versions:
        lines = {key: dict(points) for key, points in held[version.name].items()}
        known = sorted({epoch for points in lines.values() for epoch in points})
        for epoch, _ in curves.thinned([(epoch, 0.0) for epoch in known], MOST_EPOCHS):
            cells = [lines.get(key, {}).get(epoch) for key in logged]
            rows.append([version.label, f"{epoch:g}", *(_NONE if cell is None else f"{cell:.4g}" for cell in cells)])
    titles = [strings.text("columns.version"), strings.text("columns.epoch")]
    return _table("training", [*titles, *(logged_words(key, strings) for key in logged)], rows, strings)


def layers_table(found: Lookup, strings: Strings) -> Table:
    """Fairness-gap of each layer."""
    held = curves.layers(found)
    versions = compared(found, strings, held)
    names = list(dict.fromkeys(layer for version in reversed(versions) for layer in held[version.name]))
    rows = []
    for layer in names:
        cells = [held[version.name].get(layer) for version in versions]
        rows.append([name(layer), *(_NONE if cell is None else f"{cell:.4g}" for cell in cells)])
    return _table("layers", [strings.text("columns.layer"), *(version.label for version in versions)], rows, strings, 1)


def radius_table(found: Lookup, strings: Strings) -> Table:
    """Accuracy under each attack at each radius."""
    held = curves.radii(found)
    versions = compared(found, strings, {subject for attack in held.values() for subject in attack})
    rows = []
    for attack, lines in sorted(held.items()):
        for radius in sorted({x for points in lines.values() for x, _ in points}):
            cells = [dict(lines.get(version.name, [])).get(radius) for version in versions]
            shown = [_NONE if cell is None else numbers.percent(cell) for cell in cells]
            rows.append([attack, f"{radius:.4g}", *shown])
    titles = [strings.text("columns.attack"), strings.text("columns.radius"), *(version.label for version in versions)]
    return _table("radius", titles, rows, strings)


def _table(key: str, titles: list[str], rows: list[list[str]], strings: Strings, text_columns: int = 2) -> Table:
    columns = [Column(title=title, kind="text" if i < text_columns else "number") for i, title in enumerate(titles)]
    return Table(caption=strings.text(f"tables.{key}"), columns=columns, rows=rows)
