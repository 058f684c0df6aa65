"""docs/troubleshooting.md quotes the messages of the code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| what you")]
QUOTED = [row[0].strip()[1:-1] for row in ROWS if row[0].strip().startswith("`")]


@cache
def messages() -> str:
    """Every text of the package, one a line, with the sign for a variable part in place of what is filled in."""
    found = []
    for path in sorted((ROOT / "grmu_audit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append(re.sub("(…[': ]*)+…", "…", "".join(parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_the_page_is_a_table_of_what_why_and_what_to_do() -> None:
    assert len(QUOTED) >= 40
    assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in ROWS), [row for row in ROWS if len(row) != 3]


@pytest.mark.parametrize("message", QUOTED)
def test_every_message_is_one_of_the_code(message: str) -> None:
    assert message in messages()
