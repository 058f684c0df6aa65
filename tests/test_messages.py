"""Command lines that messages quote are command lines of the tool: a reader can copy them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.command_lines import parse

from grmu_audit.cli.app import COMMANDS

PACKAGE = Path(__file__).parents[1] / "grmu_audit"
FILLED = "x1"
"""In place of a name that a message fills in."""


def quoted() -> Iterator[str]:
    """Every ``'grmu-audit ...'`` in the texts of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else FILLED for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            yield from re.findall(r"'grmu-audit ([^']+)'", text)


LINES = sorted(set(quoted()))


def test_lines_are_found() -> None:
    assert len(LINES) > 20
    with pytest.raises(click.UsageError):
        parse(["promote", "--resume", "faces"])
    with pytest.raises(click.UsageError):
        parse(["history", "faces"])
    with pytest.raises(click.UsageError):
        parse(["no-such-command", "--model", "faces"])


@pytest.mark.parametrize("line", LINES)
def test_a_quoted_command_line_is_one_of_the_tool(line: str) -> None:
    command = parse(line.split()).split()[1]
    assert command in COMMANDS
    assert command in line.split()
