"""The study of the gate: models are judged as candidates, rates are clustered by seed, and the page says what was judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measurements.cheats import CHEATS
from benchmarks.measurements.gate_results import CellResult, kept_results, write_result
from benchmarks.measurements.gate_verdicts import Judged, judge_cell, rate, separation
from benchmarks.measurements.share_coverage import Setting, settings, simulate
from benchmarks.pages.gate_page import hardware_lines, page
from grmu_audit.metrics.catalog.examples import example
from grmu_audit.records import Predictions

MACHINE = {"device": "cpu", "processor": "P", "cores": 2, "threads": 1, "instructions": "AVX2", "torch": "2", "version": "0"}


def part(p: Predictions, rows: np.ndarray) -> Predictions:
    names = ("ids", "split", "target", "attribute", "prediction", "logits")
    return replace(p, **{name: getattr(p, name)[rows] for name in names})


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    rows = np.arange(0, 12_000, 3)
    models = {f"retrained, seed {k}": part(example("retrained", seed=k), rows) for k in (1, 2, 3)}
    models |= {"before": part(example("baseline"), rows), "head fine-tuned": part(example("baseline", seed=5), rows)}
    return list(judge_cell("B", 10, models))


def test_every_model_is_judged_with_one_and_with_two_references(judged: list[Judged]) -> None:
    kinds = {row.kind for row in judged}
    assert set(CHEATS) <= kinds
    assert {"retrained, seed 1", "retrained, seed 2", "retrained, seed 3", "head fine-tuned"} <= kinds
    assert all(sum(row.kind == kind for row in judged) == 2 for kind in kinds)
    assert {row.references for row in judged} == {1, 2}


def test_cheats_do_not_pass_and_retrained_models_meet_the_forgetting_rules(judged: list[Judged]) -> None:
    assert not [row.kind for row in judged if row.role == "must not pass" and row.decisions["default"] == "PASS"]
    assert all(row.forgetting["default"] for row in judged if row.role == "retrained")
    assert all(row.share == pytest.approx(1.0, abs=0.2) for row in judged if row.role == "retrained")
    half = next(row for row in judged if row.kind.startswith("0.5 of the way") and row.references == 2)
    assert half.share == pytest.approx(0.5, abs=0.15)


def test_the_share_separates_and_label_metrics_of_cheats_do_not(judged: list[Judged]) -> None:
    found = separation(judged)
    assert found["FORGET_SHARE"] == 1.0
    assert found["TA"] < 1.0


def test_models_of_one_seed_count_less_than_as_many_seeds(judged: list[Judged]) -> None:
    rows = [replace(judged[0], seed=number) for number in range(100)]
    alone = rate(rows, lambda row: row.seed % 2 == 0)
    together = rate([replace(row, seed=row.seed // 10) for row in rows], lambda row: row.seed % 2 == 0)
    assert (alone.k, alone.n) == (together.k, together.n) == (50, 100)
    assert together.effective < 20 < alone.effective
    assert together.interval[1] - together.interval[0] > 2 * (alone.interval[1] - alone.interval[0])
    assert rate([], lambda row: True).n == 0


def test_where_no_model_passes_the_lower_limits_say_how_alike_those_of_a_seed_are(judged: list[Judged]) -> None:
    rng = np.random.default_rng(0)
    seeds = np.repeat(np.arange(10), 20)
    alike = [replace(judged[0], seed=int(s), lower=float(x)) for s, x in zip(seeds, rng.normal(size=10)[seeds], strict=True)]
    unlike = [replace(row, lower=float(x)) for row, x in zip(alike, rng.normal(size=200), strict=True)]
    never = lambda row: False  # noqa: E731
    assert rate(alike, never).effective < 15 < 100 < rate(unlike, never).effective
    assert rate(unlike, never).interval[1] < 0.04 < 0.2 < rate(alike, never).interval[1]
    unknown = [replace(row, lower=None) if row.seed == 0 else row for row in unlike]
    assert rate(unknown, never).effective < rate(unlike, never).effective
    nothing = [replace(row, lower=None) for row in unlike]
    assert rate(nothing, never).effective == pytest.approx(10)


def test_the_page_holds_every_kind_and_every_setting(judged: list[Judged]) -> None:
    coverage = [simulate(Setting(40, 40, 1.0, 2.0), 40)]
    text = page(judged, coverage, {"hardware": "a processor", "cpu_hours": 1.25, "earlier": 3})
    assert "1.2 CPU\nhours" in text or "1.2 CPU hours" in text
    assert all(f"| {kind} |" in text for kind in CHEATS)
    assert "| 40 | 40 | 1 | 2 |" in text
    assert "3 of the cells and seeds were judged by an earlier version" in text
    assert "{" not in text


def test_results_are_kept_to_five_digits(judged: list[Judged], tmp_path: Path) -> None:
    result = CellResult("B", 10, "c", MACHINE, {"before": {"key": "k", "seconds": 1.5}}, judged)
    write_result(tmp_path / "B-10.json", result)
    (found,) = kept_results(tmp_path)
    assert replace(found, rows=[]) == replace(result, rows=[])
    for row, again in zip(judged, found.rows, strict=True):
        assert replace(again, metrics={}) == replace(row, metrics={})
        assert again.metrics == pytest.approx(row.metrics, rel=1e-4)
    assert hardware_lines([found, found]) == "CPU P, 2 cores, 1 thread, AVX2 instructions, torch 2"


@pytest.mark.parametrize("setting", [Setting(40, 40, 0.25, 2.0), Setting(100, 200, 1.0, 1.0, per_person=4)])
def test_coverage_of_simulated_audits(setting: Setting) -> None:
    """200 audits: coverage of at least 90 % where 95 % is nominal, whose standard error is 1.5 points."""
    found = simulate(setting, 200)
    assert found.truth == pytest.approx(setting.share, abs=0.05)
    assert found.covered >= 0.90
    assert 0 <= found.undefined <= 1


def test_settings_of_people_have_at_least_twenty_of_them() -> None:
    assert all(one.forget // one.per_person >= 20 for one in settings())
    assert {one.per_person for one in settings()} == {1, 4}
