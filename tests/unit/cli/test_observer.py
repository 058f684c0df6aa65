"""Notes and progress: written by the command line alone."""

import ast
from pathlib import Path

import pytest

from grmu_audit import cli
from grmu_audit.cli.observer import ConsoleObserver
from grmu_audit.utils.progress import SILENT

PACKAGE = Path(cli.__file__).parents[1]


def test_nothing_below_the_command_line_writes_to_a_stream() -> None:
    """Neither ``sys.stderr`` nor ``sys.stdout``, ``print``, ``click`` or ``tqdm``: notes go to the session's observer."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            stream = isinstance(node, ast.Attribute) and node.attr in ("stderr", "stdout") and ast.unparse(node.value) == "sys"
            printed = isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            if stream or printed or {"click", "tqdm"} & {name.split(".")[0] for name in names}:
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert found == []


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    observer = ConsoleObserver()
    observer.note("preset: x")
    with observer.progress("train a", 8, done=1) as advance:
        for epoch in range(2, 9):
            advance(1, f"loss {epoch}")
    with observer.progress("reading b", 3, "image") as advance:
        advance(3)
    assert capsys.readouterr() == (
        "",
        "preset: x\n"
        "train a: epoch 2/8 loss 2\ntrain a: epoch 4/8 loss 4\ntrain a: epoch 6/8 loss 6\ntrain a: epoch 8/8 loss 8\n"
        "reading b: 3 images\n",
    )


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ConsoleObserver().progress("train a", 2) as advance:
        advance(1, "loss 0.5")
        advance(1, "loss 0.4")
    said = capsys.readouterr()
    assert said.out == ""
    assert "train a: " in said.err
    assert "0/2" in said.err
    assert "\n" not in said.err


def test_a_bar_fits_80_columns_and_shows_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    with ConsoleObserver().progress("unlearn a-model-with-a-very-long-name/12 by mutual information, stage 3", 40) as advance:
        advance(10, "loss_retain 0.4123, loss_forget 1.2345, val_accuracy 0.9321")
    shown = [line for line in capsys.readouterr().err.split("\r") if line.strip()]
    assert max(map(len, shown)) <= 80
    assert "0/40" in shown[0]
    assert all("%" in line for line in shown)


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    SILENT.note("x")
    with SILENT.progress("x", 2) as advance:
        advance(1, "x")
    assert capsys.readouterr() == ("", "")


def test_steps_are_told_by_tenths_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with ConsoleObserver().progress("suite x", 20, "step") as advance:
        for _ in range(20):
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "suite x: 20 steps"
    assert [line.partition(",")[0] for line in lines[1:]] == [f"suite x: {done}/20 steps" for done in range(2, 21, 2)]
    assert all(line.endswith(" min left") for line in lines[1:])
