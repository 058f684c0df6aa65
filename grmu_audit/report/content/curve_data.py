"""What ``Audit.curves`` and the metrics hold for charts of curves, read carefully: a file may come from anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from grmu_audit.metrics.catalog.wording import REPORT_STYLE
from grmu_audit.records import suppressed
from grmu_audit.report.content.lookup import Lookup, mapping_of
from grmu_audit.report.content.series import split_series, version_series
from grmu_audit.report.content.tables import ABSENT
from grmu_audit.report.content.view_model import Column, Table
from grmu_audit.report.wording.names import safe_name
from grmu_audit.report.wording.numbers import finite_number
from grmu_audit.report.wording.strings import Strings

Points = list[tuple[float, float]]
"""(x, y), x rising."""
_RADIUS = re.compile(r"^(FGSM|PGD|AA)@([0-9.]+(?:e-?[0-9]+)?)$")
_LAYER = "FAIRNESS_GAP@"
_MOST_EPOCHS = 200


@dataclass(frozen=True)
class Losses:
    """Loss distributions of one version."""

    edges: list[float]
    """[bins + 1] nats, rising, above 0."""
    shares: dict[str, list[float]]
    """By part: [bins + 1] share of its samples with a loss up to the edge, from 0 to 1."""


@dataclass(frozen=True)
class Curve:
    """A ROC curve of one version."""

    points: Points
    """(false-positive rate, true-positive rate)."""
    operating: list[tuple[float, float | None, str]]
    """False-positive rate, true-positive rate, and why there is none."""


def losses(found: Lookup) -> dict[str, Losses]:
    """Loss distributions by subject."""
    read = {str(name): _losses(item) for name, item in mapping_of(found.audit.curves.get("losses")).items()}
    return {name: item for name, item in read.items() if item is not None}


def _losses(item: object) -> Losses | None:
    edges, counts = _numbers(mapping_of(item).get("edges")), mapping_of(mapping_of(item).get("counts"))
    if len(edges) < 2 or edges != sorted(set(edges)) or edges[0] <= 0:
        return None
    shares: dict[str, list[float]] = {}
    for part in ("retain", "unseen", "forget"):
        cells = _numbers(counts.get(part))
        if len(cells) == len(edges) - 1 and min(cells) >= 0 and sum(cells) > 0:
            shares[part] = [0.0, *(value / sum(cells) for value in accumulate(cells))]
    return Losses(edges, shares) if shares else None


def rocs(found: Lookup) -> dict[str, Curve]:
    """ROC curves by subject."""
    read = {str(name): _roc(mapping_of(item)) for name, item in mapping_of(found.audit.curves.get("roc")).items()}
    return {name: item for name, item in read.items() if item is not None}


def _roc(item: Mapping[str, Any]) -> Curve | None:
    points = list(zip(_numbers(item.get("fpr")), _numbers(item.get("tpr")), strict=False))
    if len(points) < 2:
        return None
    listed = item.get("operating")
    entries = [mapping_of(entry) for entry in listed] if isinstance(listed, list) else []
    operating = [
        (float(e["fpr"]), finite_number(e.get("tpr")), str(e.get("why") or "")) for e in entries if finite_number(e.get("fpr"))
    ]
    return Curve(points, operating)


def epochs(found: Lookup) -> dict[str, dict[str, Points]]:
    """Training curves: by subject, then by logged name, (epoch, value); names in the order in which they were logged."""
    result: dict[str, dict[str, Points]] = {}
    for subject, rows in mapping_of(found.audit.curves.get("training")).items():
        lines: dict[str, Points] = {}
        for row in rows[:_MOST_EPOCHS] if isinstance(rows, list) else []:
            epoch = finite_number(mapping_of(row).get("epoch"))
            for key, value in mapping_of(row).items():
                number = finite_number(value)
                if epoch is not None and number is not None and key not in ("epoch", "learning_rate"):
                    lines.setdefault(str(key), []).append((epoch, number))
        if lines:
            result[str(subject)] = lines
    return result


def radii(found: Lookup) -> dict[str, dict[str, Points]]:
    """Accuracy under attack: by attack (``FGSM``, ``PGD``, ``AA``), then by subject, (radius, accuracy), the clean one at 0."""
    result: dict[str, dict[str, Points]] = {}
    for value in found.audit.metrics:
        match = _RADIUS.match(value.name)
        if match and value.group is None and value.value is not None and not value.subject.change:
            clean = found.value("TA", value.subject)
            start = [(0.0, clean.value)] if clean is not None and clean.value is not None else []
            points = result.setdefault(match[1], {}).setdefault(str(value.subject), start)
            points.append((float(match[2]), value.value))
            points.sort()
    return result


def layers(found: Lookup) -> dict[str, dict[str, float]]:
    """Fairness-gap by layer: by subject, then by layer in the order of the network.

    Read from ``details["layers"]`` of ``FAIRNESS_GAP``, else from values named ``FAIRNESS_GAP@<layer>``.
    """
    result: dict[str, dict[str, float]] = {}
    for value in found.audit.metrics:
        if value.group is not None or value.subject.change:
            continue
        if value.name == "FAIRNESS_GAP":
            cells = {str(name): finite_number(gap) for name, gap in mapping_of(value.details.get("layers")).items()}
            result.setdefault(str(value.subject), {}).update({name: gap for name, gap in cells.items() if gap is not None})
        elif value.name.startswith(_LAYER) and value.value is not None:
            result.setdefault(str(value.subject), {})[value.name.removeprefix(_LAYER)] = value.value
    return {subject: cells for subject, cells in result.items() if cells}


def returns(found: Lookup) -> dict[str, list[tuple[float, float, float]]]:
    """Accuracy on the forget set by epoch of fine-tuning on the retain set: by subject, (accuracy, lower, upper) from epoch 0.

    Nothing where the forget set is too small to show.
    """
    result: dict[str, list[tuple[float, float, float]]] = {}
    for value in found.audit.metrics:
        listed = value.details.get("curve") if value.name == "RETURN_ACC" and value.group is None else None
        points = [_numbers(point) for point in listed[:_MOST_EPOCHS]] if isinstance(listed, list) else []
        if points and all(len(point) == 3 for point in points) and not value.subject.change and not suppressed(value.n):
            result[str(value.subject)] = [(point[0], point[1], point[2]) for point in points]
    return result


def thin(points: Sequence[tuple[float, float]], most: int) -> Points:
    """At most ``most`` of the points, evenly chosen, the first and the last among them.

    >>> thin([(1, 1.0), (2, 2.0), (3, 3.0)], 2)
    [(1, 1.0), (3, 3.0)]
    """
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def _numbers(value: object) -> list[float]:
    cells = [finite_number(cell) for cell in value] if isinstance(value, list) else [None]
    return [cell for cell in cells if cell is not None] if None not in cells else []


def logged_words(key: str, strings: Strings) -> str:
    """A logged number in words."""
    return strings.get(f"charts.training.logged.{key}", "") or safe_name(key.replace("_", " "))


MOST_EPOCHS = 12
"""Epochs of a version in the table; the audit file holds all."""


def losses_table(found: Lookup, strings: Strings) -> Table:
    """Share of retain, unseen and forget samples with a loss up to each edge."""
    held, rows = losses(found), []
    for version in version_series(found, strings, held):
        item = held[version.name]
        for index, edge in enumerate(item.edges[1:], start=1):
            cells = [item.shares[part.name][index] if part.name in item.shares else None for part in split_series(strings)]
            shown = [ABSENT if cell is None else REPORT_STYLE.percent(cell) for cell in cells]
            rows.append([version.label, f"{edge:.3g}", *shown])
    titles = [
        strings.text("columns.version"),
        strings.text("columns.loss_up_to"),
        *(part.label for part in split_series(strings)),
    ]
    return _table("losses", titles, rows, strings)


def roc_table(found: Lookup, strings: Strings) -> Table:
    """Operating points and points of the curve of each version."""
    held, rows = rocs(found), []
    for version in version_series(found, strings, held):
        curve = held[version.name]
        for rate, true, why in curve.operating:
            cell = REPORT_STYLE.percent(true) if true is not None else f"{ABSENT} ({safe_name(why)})"
            rows.append([version.label, strings.text("charts.roc.operating"), REPORT_STYLE.percent(rate), cell])
        for rate, true in curve.points[1:]:
            rows.append([version.label, strings.text("charts.roc.point"), REPORT_STYLE.percent(rate), REPORT_STYLE.percent(true)])
    return _table("roc", [strings.text(f"columns.{key}") for key in ("version", "kind", "false_alarms", "found")], rows, strings)


def training_table(found: Lookup, strings: Strings) -> Table:
    """What each epoch logged."""
    held, rows = epochs(found), []
    versions = version_series(found, strings, held)
    logged = list(dict.fromkeys(key for version in reversed(versions) for key in held[version.name]))
    for version in versions:
        lines = {key: dict(points) for key, points in held[version.name].items()}
        known = sorted({epoch for points in lines.values() for epoch in points})
        for epoch, _ in thin([(epoch, 0.0) for epoch in known], MOST_EPOCHS):
            cells = [lines.get(key, {}).get(epoch) for key in logged]
            rows.append([version.label, f"{epoch:g}", *(ABSENT if cell is None else f"{cell:.4g}" for cell in cells)])
    titles = [strings.text("columns.version"), strings.text("columns.epoch")]
    return _table("training", [*titles, *(logged_words(key, strings) for key in logged)], rows, strings)


def layers_table(found: Lookup, strings: Strings) -> Table:
    """Fairness-gap of each layer."""
    held = layers(found)
    versions = version_series(found, strings, held)
    names = list(dict.fromkeys(layer for version in reversed(versions) for layer in held[version.name]))
    rows = []
    for layer in names:
        cells = [held[version.name].get(layer) for version in versions]
        rows.append([safe_name(layer), *(ABSENT if cell is None else f"{cell:.4g}" for cell in cells)])
    return _table("layers", [strings.text("columns.layer"), *(version.label for version in versions)], rows, strings, 1)


def radius_table(found: Lookup, strings: Strings) -> Table:
    """Accuracy under each attack at each radius."""
    held = radii(found)
    versions = version_series(found, strings, {subject for attack in held.values() for subject in attack})
    rows = []
    for attack, lines in sorted(held.items()):
        for radius in sorted({x for points in lines.values() for x, _ in points}):
            cells = [dict(lines.get(version.name, [])).get(radius) for version in versions]
            shown = [ABSENT if cell is None else REPORT_STYLE.percent(cell) for cell in cells]
            rows.append([attack, f"{radius:.4g}", *shown])
    titles = [strings.text("columns.attack"), strings.text("columns.radius"), *(version.label for version in versions)]
    return _table("radius", titles, rows, strings)


def return_table(found: Lookup, strings: Strings) -> Table:
    """Accuracy on the forget set by epoch of fine-tuning on the retain set, with its interval."""
    held = returns(found)
    versions = version_series(found, strings, held)
    rows = []
    for epoch in range(max((len(held[version.name]) for version in versions), default=0)):
        cells = []
        for version in versions:
            points = held[version.name]
            accuracy, *limits = points[epoch] if epoch < len(points) else (None, 0.0, 0.0)
            shown = (
                f"{REPORT_STYLE.percent(accuracy)}\n{REPORT_STYLE.interval((limits[0], limits[1]))}"
                if accuracy is not None
                else ABSENT
            )
            cells.append(shown)
        rows.append([f"{epoch}", *cells])
    return _table("return", [strings.text("columns.epoch"), *(version.label for version in versions)], rows, strings, 1)


def _table(key: str, titles: list[str], rows: list[list[str]], strings: Strings, text_columns: int = 2) -> Table:
    columns = [Column(title=title, kind="text" if i < text_columns else "number") for i, title in enumerate(titles)]
    return Table(caption=strings.text(f"tables.{key}"), columns=columns, rows=rows)
