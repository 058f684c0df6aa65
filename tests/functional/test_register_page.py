"""docs/examples/register: what the module writes is what is stored, small, and without a link that leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from benchmarks.pages import register

STORED = Path(__file__).parents[2] / "docs" / "examples" / "register"
PAGES = sorted(path.relative_to(STORED) for path in STORED.rglob("*.html"))
MOST = 300_000
"""Bytes of all pages together."""


def masked(page: Path) -> str:
    """The page without numbers and names of runs: the former depend on libraries, the latter are drawn."""
    return re.sub(r"[\d.,]+", "0", re.sub(r"\b[0-9a-f]{12,64}\b", "0", page.read_text(encoding="utf-8")))


@pytest.mark.slow
def test_the_module_writes_what_is_stored(tmp_path: Path) -> None:
    assert register.register(tmp_path) == 5
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.html")) == PAGES
    for page in PAGES:
        made = "python -m benchmarks.pages.register --write docs/examples/register"
        assert masked(tmp_path / page) == masked(STORED / page), made


def test_the_stored_pages_are_small_and_whole() -> None:
    assert len(PAGES) == 2
    assert sum((STORED / page).stat().st_size for page in PAGES) < MOST
    for page in PAGES:
        text = (STORED / page).read_text(encoding="utf-8")
        targets = re.findall(r'(?:href|src)="([^"]*)"', text)
        assert targets
        for target in targets:
            if target.startswith("#"):
                assert f'id="{target[1:]}"' in text, target
            elif not target.startswith("data:"):
                assert (STORED / page.parent / unquote(target)).is_file(), target
        assert not re.search(r"/(?:home|root|tmp|work)/", text)
