"""At 80 columns, in a real pseudo-terminal: no line is wider."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from benchmarks.pages.terminal import COLUMNS, watch
from grmu_audit.cli.app import COMMANDS, execute, root

SHOWN = (
    ("methods", 0),
    ("methods show miu", 0),
    ("metrics", 0),
    ("data list", 0),
)


@pytest.mark.slow
@pytest.mark.parametrize(("line", "code"), SHOWN)
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, line: str, code: int) -> None:
    seen = watch(line.split(), tmp_path)
    assert seen.code == code, seen.text
    assert len(seen.lines) > 1
    assert len(seen.widest) <= COLUMNS, seen.widest


def commands() -> list[str]:
    """Every command and sub-command."""
    found = [""]
    for name in COMMANDS:
        command = root.get_command(click.Context(root), name)
        found += [name, *(f"{name} {sub}" for sub in getattr(command, "commands", {}))]
    return found


@pytest.mark.parametrize("name", commands())
def test_the_help_of_every_command_fits(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    assert execute([*name.split(), "--help"]) == 0
    text = capsys.readouterr()
    assert text.err == ""
    assert max(map(len, text.out.splitlines())) <= COLUMNS
