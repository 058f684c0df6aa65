"""The committed metric pages are what the catalogue and the examples give today."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pages.metrics import pages
from grmu_audit.metrics.catalog import BUILT_IN

FOLDER = Path(__file__).parents[4] / "docs" / "metrics"


@pytest.fixture(scope="module")
def made():
    return pages()


def test_every_metric_has_its_page_and_no_page_is_left_over(made):
    assert {path.name for path in FOLDER.glob("*.md")} == set(made) == {"README.md", *(f"{name}.md" for name in BUILT_IN)}


def test_pages_are_regenerated_and_equal(made):
    stale = [name for name, text in made.items() if (FOLDER / name).read_text() != text]
    assert not stale, f"run 'make docs': {', '.join(stale)}"


def test_every_entry_says_what_it_hides_and_when_it_is_undefined():
    for spec in BUILT_IN.values():
        for words in (spec.title, spec.says, spec.hides, spec.formula, spec.source, spec.needs, spec.undefined, spec.cost):
            assert words
        assert spec.low < spec.high
        assert (spec.target is not None) == (spec.direction == "target")
