"""The demo, run once; all functional tests look at its output."""

from __future__ import annotations

import re

import pytest
from support.progress_lines import CompletedLine, run_once

SEEDS = (0, 1, 2)
"""Tried in order: the numbers of a seed depend on the processor, and a verdict may differ where an interval ends at a bound."""


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> CompletedLine:
    """The finished demo of the first seed in which a version is promoted and gradient ascent breaches."""
    stories = []
    for seed in SEEDS:
        folder = tmp_path_factory.mktemp(f"demo-{seed}") / "work"
        folder.mkdir()
        story = run_once(folder, "demo", "--seed", str(seed))
        refused = all(re.search(rf"{row} .*, refused", story.out) for row in ("gradient ascent", "one epoch at 1e-7"))
        assert story.code == (0 if refused else 3), story.out + story.err
        champion = "PASS, champion" in story.out
        assert champion != (f"grmu-audit demo --seed {seed + 1}" in story.err + story.out)
        if refused and champion and "BREACH, refused" in story.out:
            return story
        stories.append(story.out)
    pytest.fail("no seed has a promoted version and a breaching gradient ascent:\n" + "\n".join(stories))
