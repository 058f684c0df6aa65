"""The simulation of the intervals, and the page that is written from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.measurements import gate_errors
from benchmarks.measurements.area_settings import Areas, Changes, Forgotten
from benchmarks.measurements.coverage import People, Rates, settings
from benchmarks.measurements.gate_errors import GateTally, gate_settings, judge_draws
from benchmarks.measurements.simulation import CONFIDENCE, Tally
from benchmarks.pages import coverage as page
from grmu_audit.records import Decision

SETTINGS = (
    Rates(2, 20, 0.98, 0.0),
    People("opposite bias", 20, 2, 0.8),
    Areas(1.0, 20, 100, 0.95),
    Forgotten(1, 0.3, 0.8),
    Changes(2.0, 5, 0.97, 0.9),
)
MORE = (
    Rates(1, 5, 0.995, 0.0),
    Rates(10, 10, 0.8, -0.1),
    People("one cell", 1, 2, 0.8),
    People("shared ability", 5, 2, 0.8),
    Areas(2.0, 5, 100, 0.97),
    Forgotten(4, 0.3, 0.8),
)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.kind)
def test_the_first_draws_are_the_same_however_many_there_are(setting):
    few, many = setting.simulate(10, 4), setting.simulate(20, 4)
    for name, tally in few.items():
        assert 0 <= tally.covered + tally.above + tally.below + tally.undefined == tally.draws == 10
        assert many[name].covered >= tally.covered
        assert many[name].draws == 20


@pytest.mark.parametrize("setting", SETTINGS + MORE, ids=lambda s: s.name)
def test_limits_of_many_draws_at_once_are_those_of_the_statistics_one_by_one(setting):
    draws, one_by_one = 3, np.random.default_rng(11)
    found = setting.limits(np.random.default_rng(11), draws)
    for i in range(draws):
        cases = setting.draw(one_by_one)
        assert set(cases) == set(found)
        for name, case in cases.items():
            truth, now, before = found[name]
            assert truth[i] == pytest.approx(case.truth)
            for limits, statistic in ((now, case.now), (before, case.before)):
                wanted = None if statistic is None else statistic.interval(CONFIDENCE)
                got = [limits[0][i], limits[1][i]]
                assert np.isnan(got).all() if wanted is None else got == pytest.approx(list(wanted), abs=1e-9)


def test_settings_near_the_wanted_coverage_are_simulated_again_with_more_draws(monkeypatch, tmp_path):
    asked = []

    def simulate(setting, draws, seed=0):
        asked.append((setting, draws))
        return {"GA": Tally(draws, 0, round((0.94 if setting is SETTINGS[0] else 0.99) * draws), 0, 0, 1.0, draws, draws, 1.0)}

    monkeypatch.setattr(page, "settings", lambda: iter(SETTINGS[:2]))
    for kind in (Rates, People):
        monkeypatch.setattr(kind, "simulate", simulate)
    results, _ = page.run(tmp_path, lambda s: 100, 0, 1e12)
    assert asked == [(SETTINGS[0], 100), (SETTINGS[1], 100), (SETTINGS[0], 1000)]
    assert results[SETTINGS[0]]["GA"].draws == 1000


def test_the_page_says_how_many_draws_each_setting_had_and_what_failed():
    results = {setting: setting.simulate(6) for setting in SETTINGS}
    results[SETTINGS[0]]["GA"] = Tally(10, 0, 5, 5, 0, 1.0, 10, 10, 0.5)
    text = page.page(results, {"x": GateTally("rule", 10, 1, 2, 7, 3)}, 3.0)
    assert "The least is 50.0 % (GA, rates-2-20-0.98-0)" in text
    assert "| x | rule | 10 | 3 | 10.00 | 20.00 | 70.0 |" in text
    assert "The largest is 20.00 % (false BREACH, x)" in text
    assert "u 100" not in text.split("## Few people")[0]
    assert text.count("## ") >= 7


def test_a_stopped_run_resumes_and_what_is_late_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(page, "settings", lambda: iter(SETTINGS[2:]))
    made, _ = page.run(tmp_path, lambda s: 5, 0, 1e12)
    monkeypatch.setattr(Areas, "simulate", lambda *_: pytest.fail("simulated again"))
    again, _ = page.run(tmp_path, lambda s: 5, 0, 0.0)
    assert again == made
    assert page.run(tmp_path / "other", lambda s: 5, 0, 0.0)[0] == {}


def test_the_grid_reaches_what_the_page_claims():
    grid = list(settings())
    assert {s.people for s in grid if isinstance(s, People)} >= {1, 100}
    assert {s.size for s in grid if isinstance(s, Rates)} >= {5, 2000}
    assert {s.rate for s in grid if isinstance(s, Rates)} >= {0.005, 0.995}
    assert max(2 * s.values for s in grid if isinstance(s, Rates)) == 20
    assert {s.forget for s in grid if isinstance(s, Areas)} >= {5, 400}


def test_a_policy_is_judged_from_predictions(monkeypatch):
    settings = list(gate_settings())
    assert len(settings) >= 12
    found = judge_draws(settings[3], 3, 0, whole=2)
    assert found.draws == found.passed + found.breached + found.open == 3
    assert found.whole == 2
    monkeypatch.setattr(gate_errors, "_decisions", lambda *_: [Decision.BREACH] * 3)
    with pytest.raises(RuntimeError, match="the audit's decision"):
        judge_draws(settings[3], 3, 0, whole=2)


@pytest.mark.parametrize("field", ["area", "loss", "loss_everywhere", "gap"])
def test_the_rules_metric_alone_decides_as_the_whole_audit_does_where_the_truth_is_far_from_the_bound(field):
    start = {"area": 0.5, "loss": 0.0, "loss_everywhere": 0.0, "gap": 0.0}
    for setting in gate_settings():
        if getattr(setting, field) == start[field] or setting.people:
            continue
        far = replace(setting, name="far", accuracy=0.95, **{field: {"area": 0.99}.get(field, 0.6)})
        assert judge_draws(far, 1, 1, whole=1).breached == 1
