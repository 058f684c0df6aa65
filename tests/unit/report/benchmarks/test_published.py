"""The printed numbers are those of the paper, and hang together."""

from __future__ import annotations

import pytest
from support.benchmarks import row

from grmu_audit.records.benchmark import TABLE_METRICS
from grmu_audit.report.benchmarks.published import (
    ablation_rows,
    apart,
    floor_by_means,
    published_for,
    published_rows,
    read_table,
)
from grmu_audit.report.benchmarks.summary import Spread, cells_of

COLUMNS = ("RA", "UA", "TA", "MIA", "EO", "GA")


def test_every_table_is_whole() -> None:
    assert [len(read_table(name)) for name in ("paper_results", "paper_deltas", "paper_miu_ablations", "paper_fairness")] == [
        135, 24, 12, 12,
    ]  # fmt: skip
    assert {one.table for one in published_rows()} == {"1", "2", "3", *(str(number) for number in range(5, 17))}


@pytest.mark.parametrize("one", read_table("paper_deltas"), ids=lambda one: f"{one['dataset']}-{one['method']}-{one['reweight']}")
def test_avg_gap_follows_from_the_printed_deltas(one: dict[str, str]) -> None:
    mean = sum(float(one[name]) for name in COLUMNS) / len(COLUMNS)
    assert 100 - mean == pytest.approx(float(one["avg_gap"]), abs=0.1)  # everything is printed to one digit


def test_deltas_and_results_print_the_same_avg_gap() -> None:
    found = {(r.dataset, r.ratio, r.groups, r.method, r.reweight): r for r in published_rows() if "AVG_GAP" in r.values}
    for one in read_table("paper_deltas"):
        same = found[one["dataset"], 0.5, 1, one["method"], one["reweight"] == "yes"]
        assert 100 * same.values["AVG_GAP"] == pytest.approx(float(one["avg_gap"]))


def test_a_delta_over_seeds_is_at_least_the_difference_of_the_means() -> None:
    found = {(r.dataset, r.method, r.reweight): r for r in published_rows() if (r.ratio, r.groups) == (0.5, 1) and r.sds}
    for one in read_table("paper_deltas"):
        mine, gold = found[one["dataset"], one["method"], one["reweight"] == "yes"], found[one["dataset"], "retrain", True]
        for metric, name in zip(TABLE_METRICS, COLUMNS, strict=True):
            assert float(one[name]) >= 100 * abs(mine.values[metric] - gold.values[metric]) - 0.15, (one, name)


def test_ablations_repeat_rows_of_the_results() -> None:
    full = ablation_rows()["celeba", "miu + REWEIGHT"]
    same = next(r for r in published_rows() if r.table == "6" and r.method == "miu" and r.reweight)
    assert full.values == same.values


def test_the_untouched_model_would_be_above_the_best_method_on_celeba() -> None:
    assert floor_by_means("celeba", 0.5, 1) == pytest.approx(0.992, abs=5e-4)
    assert floor_by_means("photodigits", 0.5, 1) is None


@pytest.mark.parametrize(
    ("title", "part", "expected"),
    [
        ("untouched", "floor", 0.406),
        ("miu + REWEIGHT", "method", 0.413),
        ("miu", "method", 0.363),
        ("retrain + Group-DRO", "retrained", 0.631),
        ("miu without calibration", "method", 0.354),
        ("ft", "method", None),
        ("miu (lambda 3) + REWEIGHT", "method", None),
    ],
)
def test_a_line_finds_its_printed_row(title: str, part: str, expected: float | None) -> None:
    method = {"floor": "", "retrained": "retrain"}.get(part, title.split(" ")[0])
    cell = cells_of([row(title, part=part, method=method)])[0]
    found = published_for("celeba", cell, cell.lines[0])
    assert (found.values["GA"] if found else None) == expected


def test_distance_in_standard_deviations() -> None:
    assert apart(Spread(0.5, 0.03, 3), 0.45, 0.04) == pytest.approx(1.0)
    assert apart(Spread(0.5, None, 1), 0.45, None) is None
