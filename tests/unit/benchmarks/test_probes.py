"""The arithmetic of the page on probes: a few measured steps of PGD stand for all."""

from __future__ import annotations

import pytest

from benchmarks.pages.probes import estimate, whole_pgd

FORWARD, BACK = 2.0, 3.0


def test_a_few_steps_are_scaled_to_all_of_them() -> None:
    each = {"forward": FORWARD, "pgd": FORWARD + 4 * (2 * FORWARD + BACK), "pgd now": 3 * FORWARD + 4 * (FORWARD + BACK)}
    whole = whole_pgd(each, 4, 20)
    assert whole["pgd"] == pytest.approx(FORWARD + 20 * (2 * FORWARD + BACK))
    assert whole["pgd now"] == pytest.approx(2 * FORWARD + 20 * (FORWARD + BACK))


def test_the_parts_of_the_estimate_add_up() -> None:
    each = {"forward": 1.0, "layers now": 1.1, "fgsm now": 6.0, "pgd": 61.0, "pgd now": 42.0}
    found = estimate(each, samples=100, models=2)
    lines = [line.strip("| ").split(" | ") for line in str(found["parts"]).splitlines()]
    passes = {name: float(count.replace(",", "")) for name, count, _ in lines}
    assert passes["PGD, worst case"] == 2 * 20 * (1 + 3 * 41)
    assert passes.pop("together") == pytest.approx(sum(passes.values()), abs=3)
