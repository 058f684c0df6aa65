"""The seed paper's printed numbers, as data (``published/SOURCE.md`` says where they come from)."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from grmu_audit.records.benchmark import CEILING, FLOOR, REFERENCE, TABLE_METRICS
from grmu_audit.report.benchmarks.summary import Cell, Line, Spread

FOLDER = Path(__file__).with_name("published")
"""The tables."""
COLUMN_OF = {"MIA_PAPER": "MIA", "AVG_GAP": "avg_gap"}
"""Metric to the name of its column, where they differ."""
ABLATIONS = {
    ("yes", "yes", "no", "no"): "miu without calibration",
    ("yes", "yes", "yes", "no"): "miu",
    ("no", "yes", "yes", "no"): "miu without retaining term",
    ("yes", "yes", "yes", "yes"): "miu + REWEIGHT",
}
"""Terms of a row of Table 17 (retaining, unlearning, calibration, REWEIGHT) to its title here."""


@dataclass(frozen=True)
class PublishedRow:
    """One printed row; fractions."""

    table: str
    """Number of the table."""
    dataset: str
    """Dataset."""
    ratio: float
    """Share of the forget groups that is forgotten."""
    groups: int
    """Number of forget groups."""
    method: str
    """Method as printed, with ``+group_dro`` where that is meant."""
    reweight: bool
    """REWEIGHT."""
    values: Mapping[str, float]
    """Means over three seeds, by metric."""
    sds: Mapping[str, float]
    """Standard deviations, where they are printed."""


@cache
def read_table(name: str) -> tuple[dict[str, str], ...]:
    """A table as text cells: ``paper_results``, ``paper_deltas``, ``paper_miu_ablations``, ``paper_fairness``."""
    with (FOLDER / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
        return tuple(csv.DictReader(stream))


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """Every row of the results."""
    return tuple(
        PublishedRow(
            row["table"], row["dataset"], float(row["unlearning_ratio"]), int(row["forget_groups"]), row["method"],
            row["reweight"] == "yes", *_numbers(row),
        )
        for row in read_table("paper_results")
    )  # fmt: skip


@cache
def ablation_rows() -> dict[tuple[str, str], PublishedRow]:
    """Rows of Table 17 by dataset and title."""
    terms = ("retaining_term", "unlearning_term", "calibration_term", "reweight")
    found = {}
    for row in read_table("paper_miu_ablations"):
        title = ABLATIONS[row[terms[0]], row[terms[1]], row[terms[2]], row[terms[3]]]
        found[row["dataset"], title] = PublishedRow("17", row["dataset"], 0.5, 1, title, row["reweight"] == "yes", *_numbers(row))
    return found


def _numbers(row: Mapping[str, str]) -> tuple[dict[str, float], dict[str, float]]:
    columns = {metric: COLUMN_OF.get(metric, metric) for metric in (*TABLE_METRICS, "AVG_GAP")}
    values = {metric: float(row[name]) / 100 for metric, name in columns.items() if row[name]}
    return values, {metric: float(row[f"{name}_std"]) / 100 for metric, name in columns.items() if row.get(f"{name}_std")}


def published_for(dataset: str, cell: Cell, line: Line) -> PublishedRow | None:
    """The printed row that a line repeats: same dataset, ratio and number of groups, same method and REWEIGHT; else None.

    The reference and the ceiling both repeat retrain + REWEIGHT.
    """
    if (dataset, line.title) in ablation_rows() and "without" in line.title and (cell.ratio, cell.groups) == (0.5, 1):
        return ablation_rows()[dataset, line.title]
    method = {FLOOR: "pretrain", REFERENCE: "retrain", CEILING: "retrain"}.get(line.part, _method_of(line))
    reweight = line.part in (REFERENCE, CEILING) or line.reweight
    wanted = (dataset, cell.ratio, cell.groups, method, reweight)
    rows = (row for row in published_rows() if (row.dataset, row.ratio, row.groups, row.method, row.reweight) == wanted)
    return max(rows, key=lambda row: len(row.sds), default=None)


def _method_of(line: Line) -> str:
    plain = line.title.removesuffix(" + REWEIGHT")
    if plain == "retrain + Group-DRO":
        return "retrain+group_dro"
    return line.method if plain == line.method else ""


def apart(ours: Spread, published: float, sd: float | None) -> float | None:
    """(ours - published) / sqrt(sd of ours^2 + sd of theirs^2); None where neither has a spread.

    >>> round(apart(Spread(0.96, 0.003, 3), 0.95, 0.004), 2)
    2.0
    """
    both = math.hypot(ours.sd or 0.0, sd or 0.0)
    return (ours.mean - published) / both if both > 0 else None


def floor_by_means(dataset: str, ratio: float, groups: int) -> float | None:
    """AVG_GAP of the untouched model by the printed means of pretrain and retrain + REWEIGHT; None where they are not printed.

    An estimate: the paper averages absolute differences of each seed, of which means say less.

    >>> round(100 * floor_by_means("celeba", 0.5, 1), 1)
    99.2
    """
    found = {
        (row.method, row.reweight): row
        for row in published_rows()
        if (row.dataset, row.ratio, row.groups) == (dataset, ratio, groups)
    }
    before, after = found.get(("pretrain", False)), found.get(("retrain", True))
    if before is None or after is None:
        return None
    return sum(1 - abs(before.values[metric] - after.values[metric]) for metric in TABLE_METRICS) / len(TABLE_METRICS)
