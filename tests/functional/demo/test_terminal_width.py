"""At 80 columns, on the demo's store in a real pseudo-terminal: no line is wider, and long work says at once what it loads."""

from __future__ import annotations

import click
import pytest
from support.progress_lines import CompletedLine

from benchmarks.pages.terminal import COLUMNS, watch
from grmu_audit.cli.app import COMMANDS, execute, root

SHOWN = (
    ("methods", 0),
    ("methods show miu", 0),
    ("metrics", 0),
    ("data list", 0),
    ("audit --model photodigits/3 --out shown", 0),
    ("gate --model photodigits/3", 0),
    ("gate --model photodigits/5", 1),
    ("compare photodigits/1 photodigits/3 photodigits/5", 0),
    ("history --model photodigits", 0),
    ("requests list --model photodigits", 0),
    ("verify --model photodigits", 0),
)


@pytest.mark.slow
@pytest.mark.parametrize(("line", "code"), SHOWN)
def test_no_line_is_wider_than_the_terminal(demo: CompletedLine, line: str, code: int) -> None:
    seen = watch(line.split(), demo.folder)
    assert seen.code == code, seen.text
    assert len(seen.lines) > 1
    assert len(seen.widest) <= COLUMNS, seen.widest


@pytest.mark.slow
@pytest.mark.parametrize("line", ["unlearn --model photodigits --forget none.csv", "forget check --model none --forget none.csv"])
def test_long_work_says_first_what_it_loads(demo: CompletedLine, line: str) -> None:
    seen = watch(line.split(), demo.folder)
    name = line.partition(" --")[0]
    assert seen.lines[0].startswith(f"{name}: loading ")
    assert watch(["--quiet", *line.split()], demo.folder).lines[0].startswith("grmu-audit: ")


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
