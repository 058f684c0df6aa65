"""What is said of a request before a model is trained for it."""

from __future__ import annotations

import numpy as np
import pytest

from grmu_audit.auditing.request_advice import RequestFacts, advise, smallest_visible_area
from grmu_audit.records import Group, GroupCount

LINE = "grmu-audit retrain --model d/1 --forget f.csv"


def facts(people: int = 40, retain: int = 40, references: int = 2, cost: str = "") -> RequestFacts:
    rare = GroupCount(Group(1, 0), "five / temple", retain + people, retain, people, 10, 200)
    other = GroupCount(Group(0, 0), "one / temple", 500, 500, 0, 10, 200)
    return RequestFacts(people, (rare, other), references, LINE, cost)


def test_nothing_is_said_where_all_is_well() -> None:
    assert advise(facts()) == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"references": 0, "cost": "about 36 s of training"}, f"compare with (about 36 s of training): {LINE}"),
        ({"references": 1}, "a second from another --seed decides more often"),
        ({"retain": 19}, "fewer than 20 training samples are left of five / temple"),
        ({"people": 19}, "needs 20 people in the forget set"),
        ({"people": 1}, "retrain (exact evidence), serve it together with other requests, or audit at level deep"),
    ],
)
def test_what_stands_in_the_way_is_said_with_what_would_help(given: dict, said: str) -> None:
    found = advise(facts(**given))
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize("people", [5, 20, 80])
def test_the_visible_area_has_the_power_that_is_promised(people: int) -> None:
    """Normal scores shifted to that area are told from chance in about 80 % of 500 draws."""
    from scipy.stats import mannwhitneyu, norm

    rng, area = np.random.default_rng(3), smallest_visible_area(people, 200)
    shift = np.sqrt(2) * norm.ppf(area)
    told = [
        mannwhitneyu(rng.normal(shift, 1, people), rng.normal(0, 1, 200), alternative="greater", method="asymptotic").pvalue
        < 0.05
        for _ in range(500)
    ]
    assert 0.72 <= np.mean(told) <= 0.92
