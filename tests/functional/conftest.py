"""The demo, told once; all functional tests look at what it left."""

from __future__ import annotations

import pytest
from support.progress_lines import Told, told


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The finished demo."""
    folder = tmp_path_factory.mktemp("demo") / "work"
    folder.mkdir()
    story = told(folder, "demo")
    assert story.code == 0, story.out + story.err
    return story
