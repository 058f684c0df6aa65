"""Branches that the tests run: the core is what an import contract keeps light, and both bounds are of branches alone."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.measurements.kept import ROOT
from benchmarks.pages.tested_branches import BEGIN, END, good, judging_core, numbers, read_section, section

CORE = ("errors", "metrics")


def report(**branches: tuple[int, int]) -> dict[str, Any]:
    """What ``coverage json`` writes, of files by their first folder, with branches run and in all."""
    return {
        "files": {
            f"/somewhere/grmu_audit/{name}": {
                "summary": {"covered_branches": run, "num_branches": of, "covered_lines": 3, "num_statements": 4}
            }
            for name, (run, of) in {name.replace("__", "/") + ".py": pair for name, pair in branches.items()}.items()
        }
    }


def test_the_judging_core_is_what_the_import_contract_keeps_light() -> None:
    core = judging_core()
    assert {"errors", "intervals", "metrics", "policy", "report", "auditing"} <= set(core)
    assert not {"workflows", "tracking", "unlearning", "models"} & set(core)


@pytest.mark.parametrize(
    ("core", "others", "enough"),
    [((95, 100), (85, 100), True), ((94, 100), (100, 100), False), ((100, 100), (79, 100), False), ((100, 100), (80, 100), True)],
)
def test_both_bounds_are_of_branches(core: tuple[int, int], others: tuple[int, int], enough: bool) -> None:
    found = numbers(report(errors=(0, 0), metrics__scores=core, workflows__demo=others), CORE)
    assert found["shares"]["the judging core"] == [list(core), [6, 8]]
    assert found["shares"]["all"] == [[core[0] + others[0], core[1] + others[1]], [9, 12]]
    assert good(found) is enough
    assert f"| the judging core | {core[0]} of {core[1]} | {core[0]}.0% | 95% | 75.0% |" in section(found)


@pytest.mark.parametrize(
    "branches", [{"errors": (0, 0)}, {"metrics__scores": (9, 10)}, {"errors": (0, 0), "metrics__scores": (0, 0)}]
)
def test_a_report_without_branches_of_the_core_is_an_error(branches: dict[str, tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="holds no branches of"):
        numbers(report(**branches), CORE)


def test_the_page_has_the_stored_numbers() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert read_section() in page
    assert page.count(BEGIN) == page.count(END) == 1
