"""Requests as they come: evaluation rows, whole people, lists of people; through retraining, audit and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grmu_audit.cli.app import execute

NETWORK = ["--architecture", "mlp", "--architecture-option", "hidden=[4]", "--set", "epochs=1", "--seed", "0"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a version that was trained on a table of 120 people with three rows each."""
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    n = 360
    frame = pd.DataFrame({"id": [f"r{i}" for i in range(n)], "person": np.arange(n) // 3, "split": "train"})
    frame.loc[frame["person"] >= 60, "split"] = "test"
    frame.loc[frame["person"] >= 110, "split"] = "val"
    frame["sex"], frame["hired"] = np.where(np.arange(n) % 2, "f", "m"), rng.integers(0, 2, n)
    frame["score"] = rng.normal(size=n).round(3) + frame["hired"]
    frame.to_csv(folder / "t.csv", index=False)
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        line = ["data", "import", "--table", "t.csv", "--target", "hired", "--attribute", "sex", "--subject", "person"]
        assert execute([*line, "--feature", "score", "--out", "own.yaml"]) == 0
        assert execute(["pretrain", "--name", "m", "--data", "own.yaml", *NETWORK]) == 0
    return folder


def said(capsys: Any, *line: str) -> tuple[int, str]:
    code = execute(line)
    output = capsys.readouterr()
    return code, output.out + output.err


def write(name: str, *lines: str) -> str:
    Path(name).write_text("\n".join(lines) + "\n")
    return name


@pytest.mark.parametrize(
    ("lines", "options", "code", "says"),
    [
        (["id", "r0", "r1", "r2"], [], 0, "3 ids;"),
        (["id", "r0"], [], 0, "warning: the list leaves out 2 other rows of the same subjects (person)"),
        (["id", "r0", "r3"], [], 0, "leaves out 4 other rows"),
        (["id", "r0"], ["--whole-subjects"], 0, "3 ids;"),
        (["subject", "0", "5"], [], 0, "6 ids;"),
        (["subject", "007"], [], 2, "row 2: the subject '007' is not in the data (only the notation differs from '7')"),
        (["id", "r0", "r1", "r2", "r180", "r181", "r182", "r359"], [], 0, "4 ids are validation or test rows"),
        (["id", "r180", "r359"], [], 2, "all 2 ids are validation or test rows, which no model was trained on"),
        (["subject", "60"], [], 2, "all 3 ids are validation or test rows"),
        (["id", "R0"], [], 2, "row 2: the id 'R0' is not in the dataset (only the notation differs from 'r0')"),
    ],
)
def test_a_list_is_checked(
    trained: Path, lines: list[str], options: list[str], code: int, says: str, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(trained)
    found, text = said(capsys, "forget", "check", "--model", "m/1", "--forget", write("ids.csv", *lines), *options)
    assert says in text
    assert found == code


def test_evaluation_rows_leave_every_later_audit(trained: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(trained)
    ids = write("ids.csv", "id,request_id", *(f"r{i},R-1" for i in (*range(30), *range(180, 195), 357)))
    assert said(capsys, "retrain", "--model", "m/1", "--forget", ids, "--set", "epochs=1")[0] == 0
    assert said(capsys, "audit", "--model", "m/2", "--out", "first")[0] == 0
    audit = json.loads(Path("first/audit.json").read_text())
    assert audit["data"]["splits"] == {"retain": 150, "forget": 30, "val": 29, "test": 135}
    assert audit["forget"]["count"] == 30
    assert audit["forget"]["request"]["withheld"] == 16
    assert next(m for m in audit["metrics"] if m["name"] == "TA" and m["group"] is None)["n"] == 135
    assert "Validation and test rows that no evaluation uses" in Path("first/report.html").read_text()
    more = write("more.csv", "id", "r33", "r34", "r35")
    assert said(capsys, "retrain", "--model", "m/2", "--forget", more, "--set", "epochs=1")[0] == 0
    assert said(capsys, "audit", "--model", "m/3", "--out", "second")[0] == 0
    later = json.loads(Path("second/audit.json").read_text())
    assert later["data"]["splits"] == {"retain": 147, "forget": 33, "val": 29, "test": 135}, "they stay withheld"
    code, text = said(capsys, "requests", "list", "--model", "m")
    assert code == 0
    assert "R-1" in text
    stored = json.dumps([audit, later])
    assert not any(f'"r{i}"' in stored for i in range(360))
