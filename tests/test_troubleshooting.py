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


PRINTED = (
    "no store at sqlite:////data/mlruns/mlflow.db: nothing was registered there yet. Go to the folder",
    "no model 'digit' in sqlite:////data/mlruns/mlflow.db (did you mean 'digits'?); registered: digits",
    "t.csv: column 'hired': '1.0' and '1' are the same number: '1.0' in 12 rows (first: row 2)",
    "t.csv: column 'sex': 'm' and 'M' are the same text but for case: 'm' in 9 rows",
    "warning: t.csv: column 'sex': 'None' (5 rows) may mean that the label is missing: it counts as a label of its own; leave",
    "column '' is left out: it is an index that another program wrote, not a feature (name it as a feature if it is one)",
    "t.csv: row 9: age is '?', and 199 of the column's 200 cells are plain numbers: leave the cell empty",
    "in 200 of 200 rows (first: row 1) prob_* are other probabilities than those of logit_*: give one kind of scores",
    "columns 'attribute' and 'attribute_sex' stand side by side: give 'attribute', or one column for each attribute",
    "candidate: in 200 of 200 rows (100.0%) the prediction is not the class with the largest score: rates use",
    "p.parquet: row 5: target is not a finite number (empty)",
    "p.csv: the cells are separated by semicolons: save the table as CSV with commas",
    "one column of scores only (prob_0): give one per class, prob_0 and prob_1 for two classes",
    "p.csv: row 2 has 7 cells where 6 are expected: a comma stands at its end: remove it, or give the column a name",
    "weights w.pth cannot be read: it is a Git LFS pointer in place of the file (fetch the file with 'git lfs pull'), no",
    "weights w.pth are refused: the pickle holds more than tensors (it needs numpy.core.multiarray.scalar), and reading it",
    "w.pth: no tensor is named head.weight, as the head of 2 classes is; found trainer.1.weight, ...",
    "a.csv: its first column '' is an index that another program wrote, where the names of the images are expected",
    "all 2 ids are validation or test rows, which no model was trained on: there is nothing to unlearn; delete",
    "warning: the list leaves out 2 other rows of the same subjects (person), which stay in use",
)
"""What the commands print on the cases that users reported, and on others of each kind."""


def pattern(message: str) -> str:
    return ".*".join(map(re.escape, message.split("…")))


@pytest.mark.parametrize("line", PRINTED)
def test_what_users_see_is_on_the_page(line: str) -> None:
    assert any(re.search(pattern(message), line) for message in QUOTED)


@pytest.mark.parametrize("message", QUOTED)
def test_every_message_is_one_of_the_code(message: str) -> None:
    assert message in messages()
