"""The commands that docs/data.md shows exist, with these options."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from grmu_audit.cli.app import root
from grmu_audit.data.forget import PRESETS

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
LINES = [line.removeprefix("$ grmu-audit ") for line in PAGE.splitlines() if line.startswith("$ grmu-audit ")]


@pytest.mark.parametrize("line", LINES)
def test_command_of_the_page_parses(line: str) -> None:
    command: click.Command = root
    words = shlex.split(line)
    context = click.Context(root)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
    parsed = command.make_context("x", words)
    assert parsed.command is command


def test_page_has_commands_and_every_preset() -> None:
    assert len(LINES) >= 12
    assert all(f"`{name}`" in PAGE for name in PRESETS)
