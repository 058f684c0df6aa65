"""Verdicts and reports write the same numbers, each in its own style."""

from __future__ import annotations

import pytest

from grmu_audit.metrics.catalog.wording import REPORT_STYLE, VERDICT_STYLE


@pytest.mark.parametrize(
    ("number", "unit", "signed", "verdict", "report"),
    [
        (0.256, "fraction", False, "25.6 %", "25.6\u00a0%"),
        (-0.05, "fraction", True, "-5.0 points", "\u22125.0\u00a0pts"),
        (0.05, "fraction", True, "+5.0 points", "+5.0\u00a0pts"),
        (-0.0004, "fraction", True, "0.0 points", "0.0\u00a0pts"),
        (-0.0004, "fraction", False, "0.0 %", "0.0\u00a0%"),
        (3.0, "epochs", False, "3 epochs", "3\u00a0epochs"),
        (-0.5, "score", True, "-0.5", "\u22120.5"),
        (1.5, "squared activation", False, "1.5 squared activation", "1.5"),
        (float("inf"), "fraction", False, "not a finite number", "not a finite number"),
    ],
)
def test_a_number_in_both_styles(number, unit, signed, verdict, report):
    assert VERDICT_STYLE.number(number, unit, signed=signed) == verdict
    assert REPORT_STYLE.number(number, unit, signed=signed) == report


def test_the_numbers_of_every_bound():
    shown = {kind: VERDICT_STYLE.bound(kind, 0.05, "fraction") for kind in ("max", "min", "max_change", "min_change", "max_gap")}
    assert shown == {
        "max": ["5.0 %"],
        "min": ["5.0 %"],
        "max_change": ["+5.0 points"],
        "min_change": ["+5.0 points"],
        "max_gap": ["5.0 points"],
    }
    assert VERDICT_STYLE.bound("within", [0.0, 1.0], "nats") == ["0 nats", "1 nats"]
