"""The simulation of the intervals, and the page that is written from it."""

from __future__ import annotations

import pytest

from benchmarks.measurements.coverage import Areas, Forgotten, People, Rates, Tally, settings
from benchmarks.measurements.gate_errors import GateTally, gate_settings, judge_draws
from benchmarks.pages import coverage as page

SETTINGS = (
    Rates(2, 20, 0.98, 0.0),
    People("opposite bias", 20, 2, 0.8),
    Areas(1.0, 20, 100, 0.95),
    Forgotten(1, 0.3, 0.8),
)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.kind)
def test_the_first_draws_are_the_same_however_many_there_are(setting):
    few, many = setting.simulate(10, 4), setting.simulate(20, 4)
    for name, tally in few.items():
        assert 0 <= tally.covered + tally.above + tally.below + tally.undefined == tally.draws == 10
        assert many[name].covered >= tally.covered
        assert many[name].draws == 20


def test_the_page_says_how_many_draws_each_setting_had_and_what_failed():
    results = {setting: setting.simulate(6) for setting in SETTINGS}
    results[SETTINGS[0]]["GA"] = Tally(10, 0, 5, 5, 0, 1.0, 10, 10, 0.5)
    text = page.page(results, {"x": GateTally("rule", 10, 1, 2, 7)}, 3.0)
    assert "The least is 50.0 % (GA, rates-2-20-0.98-0)" in text
    assert "| x | rule | 10 | 10.0 | 20.0 | 70.0 |" in text
    assert "u 100" not in text.split("## Few people")[0]
    assert text.count("## ") >= 7


def test_a_stopped_run_resumes_and_what_is_late_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(page, "settings", lambda: iter(SETTINGS[2:]))
    made, _ = page.run(tmp_path, lambda s: 5, 0, 1e12)
    monkeypatch.setattr(Areas, "simulate", lambda *_: pytest.fail("simulated again"))
    again, _ = page.run(tmp_path, lambda s: 5, 0, 0.0)
    assert again == made
    assert page.run(None, lambda s: 5, 0, 0.0)[0] == {}


def test_the_grid_reaches_what_the_page_claims():
    grid = list(settings())
    assert {s.people for s in grid if isinstance(s, People)} >= {1, 100}
    assert {s.size for s in grid if isinstance(s, Rates)} >= {5, 2000}
    assert {s.rate for s in grid if isinstance(s, Rates)} >= {0.005, 0.995}
    assert max(2 * s.values for s in grid if isinstance(s, Rates)) == 20
    assert {s.forget for s in grid if isinstance(s, Areas)} >= {5, 400}


def test_a_policy_is_judged_from_predictions():
    settings = list(gate_settings())
    assert len(settings) >= 12
    found = judge_draws(settings[3], 3, 0)
    assert found.draws == found.passed + found.breached + found.open == 3
