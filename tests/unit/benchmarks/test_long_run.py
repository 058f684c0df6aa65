"""The long run: what it looks for is found where it is wrong, a short one is run for real, and its section says what happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measurements.long_run.checks import Expected, Facts, find_defects
from benchmarks.measurements.long_run.growth import growths
from benchmarks.measurements.long_run.requests import run_requests
from benchmarks.measurements.long_run.state import (
    KILLED,
    NO_SPACE,
    NO_SPACE_ON_SERVER,
    RESTARTED,
    SERVER_KILLED,
    Plan,
    State,
    read_state,
)
from benchmarks.pages import long_run
from benchmarks.pages.long_run import good, numbers, section

ROOT = Path(__file__).parents[3]
EXPECTED = Expected({"R-1": ("a", "b"), "R-2": ("c",), "R-3": ("d",)}, frozenset({"R-1", "R-2"}), ("3", "5"))
ASKED = {"R-1": frozenset({"A", "B"}), "R-2": frozenset({"C"}), "R-3": frozenset({"D"})}
GOOD = Facts("5", ("3", "5"), 0, (), ASKED, {"R-1": True, "R-2": True, "R-3": False}, (), frozenset("ABC"), ASKED, ())


def test_a_store_that_says_what_was_asked_for_has_no_defect() -> None:
    assert find_defects(GOOD, EXPECTED) == []
    nothing = Facts(None, (), 0, (), {}, {}, (), frozenset(), {}, ())
    assert find_defects(nothing, Expected({}, frozenset(), ())) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alias": "3"}, "the alias 'champion': 3, expected 5"),
        ({"alias": None}, "the alias 'champion': None, expected 5"),
        ({"moves": ("3",)}, "the promotions in the ledger: ('3',), expected ('3', '5')"),
        ({"moves": ("3", "5", "5")}, "the promotions in the ledger: ('3', '5', '5'), expected ('3', '5')"),
        ({"unended": 1}, "a promotion has begun and not ended"),
        ({"missing": ("digits/5: its report.html is gone or cut",)}, "digits/5: its report.html is gone or cut"),
        ({"requests": {name: ASKED[name] for name in ("R-1", "R-3")}}, "request R-2 is lost"),
        ({"requests": {**ASKED, "R-3": frozenset("E")}}, "request R-3 names other rows than were asked for"),
        ({"requests": {**ASKED, "R-4": frozenset("E")}}, "request R-4 was never asked for"),
        ({"repeated": ("R-2",)}, "request R-2 is entered more than once"),
        ({"listed": {**GOOD.listed, "R-2": False}}, "request R-2 is not listed as served"),
        ({"listed": {**GOOD.listed, "R-3": True}}, "request R-3 is listed as served"),
        ({"union": frozenset("AB")}, "the champion's record has 0 rows that no served request names, and lacks 1 that one does"),
        (
            {"union": frozenset("ABCD")},
            "the champion's record has 1 rows that no served request names, and lacks 0 that one does",
        ),
        ({"running": ("17",)}, "run 17 is said to run, and no command does"),
    ],
)
def test_what_differs_is_found(change: dict[str, Any], words: str) -> None:
    assert find_defects(replace(GOOD, **change), EXPECTED) == [words]


def imagined(**last: float) -> State:
    """Forty requests; ``last``: what the last ten of them use."""
    state = State({**Plan().__dict__, "shares": []}, 1)
    for number in range(1, 41):
        usage: dict[str, Any] = {"handles": 60, "memory": 400 << 20, "peak": 300 << 20, "added": 1 << 20}
        usage |= last if number > 30 else {}
        line = "retrain" if number % 2 == 0 else "unlearn"
        stored = (state.requests[-1]["stored"] if state.requests else 0) + usage["added"]
        attempt = {"request": number, "name": "promote", "fresh": False, "seconds": 2.0, "cpu": 1.5, "memory": usage["peak"]}
        state.attempts.append({**attempt, "code": 0 if line == "retrain" else 3, "disturbance": ""})
        state.requests.append({
            "line": line, "version": str(number + 1), "promoted": line == "retrain",
            "handles": usage["handles"], "memory": usage["memory"], "stored": stored,
        })  # fmt: skip
    state.attempts.append({**state.attempts[0], "code": -9, "disturbance": KILLED, "cpu": 0.0, "memory": 0})
    state.attempts.append({**state.attempts[0], "code": 4, "disturbance": NO_SPACE})
    state.attempts.append({"request": 9, "name": "", "code": 0, "disturbance": RESTARTED})
    state.checks = [{"after": 40, "found": []}]
    return state


@pytest.mark.parametrize("change", [{"handles": 70}, {"memory": 700 << 20}, {"peak": 400 << 20}, {"added": 2 << 20}])
def test_what_grows_is_named(change: dict[str, float]) -> None:
    assert all(one.held for one in growths(imagined()))
    assert [one.held for one in growths(imagined(**change))].count(False) == 1
    found = numbers(imagined(**change))
    assert "**no**" in section(found)
    assert not good(found)


def test_the_section_says_what_happened() -> None:
    found = numbers(imagined())
    text = section(found)
    assert good(found)
    assert "- `retrain`: 20 of 20 versions were promoted." in text
    assert "20 of 20 versions were refused, and the champion stayed." in text
    assert "| command killed | 1 | killed: 1 |" in text
    assert "| no space for the command | 1 | exit code 4: 1 |" in text
    assert "| server killed between requests | 1 | - |" in text
    assert "no request is lost, and none was entered or served twice" in text
    assert "**no**" not in text
    wrong = {**found, "last_check": ["request R-2 is lost"], "problems": ["after request 40: request R-2 is lost"]}
    assert "After the last request: request R-2 is lost." in section(wrong)
    assert not good(wrong)
    assert not good({**found, "endings": {**found["endings"], "unlearn": [1, 20]}})
    assert "Not run yet." in section(None)


def test_the_page_has_a_place_for_the_section() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert long_run.read_section() in page


@pytest.mark.slow
def test_a_short_run_is_as_asked_for_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    shares = ((KILLED, 0.4), (SERVER_KILLED, 0.1), (NO_SPACE, 0.2), (NO_SPACE_ON_SERVER, 0.1), (RESTARTED, 0.0))
    plan = Plan(2, 0, shares, fresh_every=100, widths="[8,16]", epochs=(6, 12))
    begun = run_requests(tmp_path, plan, seconds=0)
    assert [one["name"] for one in begun.attempts] == ["pretrain", "verify"]
    assert not begun.requests
    state = run_requests(tmp_path, plan, seconds=600)
    assert state.problems == []
    assert [one["line"] for one in state.requests] == ["unlearn", "retrain"]
    assert state.checks == [{"after": 0, "found": []}, {"after": 2, "found": []}]
    assert any(one["disturbance"] for one in state.attempts)
    assert not state.requests[0]["promoted"]
    assert read_state(tmp_path) == state
    with pytest.raises(ValueError, match="holds a run of another plan"):
        run_requests(tmp_path, replace(plan, seed=1), seconds=0)
