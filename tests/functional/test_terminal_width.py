"""At 80 columns, in a real pseudo-terminal: no line is wider."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from benchmarks.pages.terminal import COLUMNS, watch
from grmu_audit.cli.app import COMMANDS, execute, root


@pytest.mark.slow
@pytest.mark.parametrize("line", ["methods", "methods show miu", "metrics", "data list"])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, line: str) -> None:
    seen = watch(line.split(), tmp_path)
    assert seen.code == 0, seen.text
    assert len(seen.lines) > 1
    assert len(seen.widest) <= COLUMNS, seen.widest


@pytest.mark.slow
@pytest.mark.parametrize("line", ["compare none/1 none/2", "forget check --model none --forget none.csv"])
def test_long_work_says_first_what_it_loads_unless_it_is_quiet(tmp_path: Path, line: str) -> None:
    (tmp_path / "none.csv").write_text("id\na\n")
    name = line.partition(" none")[0].partition(" --")[0]
    assert watch(line.split(), tmp_path).lines[0].startswith(f"{name}: loading ")
    assert watch(["--quiet", *line.split()], tmp_path).lines[0].startswith("grmu-audit: ")


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
