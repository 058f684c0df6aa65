"""The arithmetic of the page on probes: a few measured steps of PGD stand for all."""

from __future__ import annotations

import pytest

from benchmarks.pages.probes import estimate, whole_pgd

FORWARD, BACK = 2.0, 3.0


def test_a_few_steps_are_scaled_to_all_of_them() -> None:
    each = {"forward": FORWARD, "pgd": FORWARD + 4 * (2 * FORWARD + BACK), "pgd now": 3 * FORWARD + 4 * (FORWARD + BACK)}
    each["pgd bf16"] = 3 * FORWARD + 4 * 1.5
    whole = whole_pgd(each, 4, 20)
    assert whole["pgd"] == pytest.approx(FORWARD + 20 * (2 * FORWARD + BACK))
    assert whole["pgd now"] == pytest.approx(2 * FORWARD + 20 * (FORWARD + BACK))
    assert whole["pgd bf16"] == pytest.approx(2 * FORWARD + 20 * 1.5)


def test_the_parts_of_the_estimate_add_up() -> None:
    """Seconds of hours, so that two decimals of an hour are exact."""
    each = {
        "forward": 36.0, "forward bf16": 18.0, "training": 108.0, "training bf16": 36.0, "layers now": 36.0,
        "fgsm now": 216.0, "fgsm bf16": 180.0, "pgd": 2196.0, "pgd now": 1512.0, "pgd bf16": 756.0,
    }  # fmt: skip
    found = estimate(each, samples=100, models=2)
    lines = [line.strip("| ").split(" | ") for line in str(found["parts"]).splitlines()]
    for column, attack, training in ((1, 1512.0, 60 * 108.0 + 100 * 36.0), (2, 756.0, 60 * 36.0 + 100 * 18.0)):
        hours = {cells[0]: float(cells[column]) for cells in lines}
        assert hours["PGD, worst case"] == pytest.approx(2 * 20 * (36 + 3 * (attack - 36)) / 7200)
        assert hours["fine-tuning, 5 epochs"] == pytest.approx(2 * 5 * training / 7200)
        assert hours.pop("together") == pytest.approx(sum(hours.values()), abs=0.03)
