"""The end of the demo: its table, what was promoted, and the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.audits import judged
from support.memory_store import MemoryStore
from support.sessions import open_session

from grmu_audit.cli.app import execute
from grmu_audit.cli.commands import demo as commands
from grmu_audit.records import BASELINE, Decision
from grmu_audit.workflows import demo
from grmu_audit.workflows.audits.publication import AuditResult
from grmu_audit.workflows.demo import DemoResult, Row, Tried

PROMOTED, UNDECIDED, REFUSED = (Decision.PASS, True), (Decision.INCONCLUSIVE, False), (Decision.BREACH, False)


@pytest.mark.parametrize(
    ("outcomes", "code", "said", "not_said"),
    [
        ({"shrink": PROMOTED, "gradient ascent": REFUSED}, 0, ["report of shrink, promoted: "], ["was not promoted", "--seed"]),
        (
            {"shrink": UNDECIDED, "gradient ascent": UNDECIDED},
            0,
            [
                "report of shrink, refused: ",
                "shrink was not promoted: the samples do not decide dominant-group-accuracy-kept, forgotten",
                "another seed has other data: grmu-audit demo --seed 5",
            ],
            ["gradient ascent was not promoted"],
        ),
        ({"shrink": REFUSED, "gradient ascent": PROMOTED}, 3, ["report of gradient ascent, promoted: "], ["was not promoted"]),
    ],
    ids=["promoted", "undecided", "wrong"],
)
def test_the_demo_ends_with_reports_and_exit_code(
    outcomes: dict[str, tuple[Decision, bool]], code: int, said: list[str], not_said: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tried = tuple(
        Tried(what, AuditResult(judged(decision), tmp_path / what, {}), promoted)
        for what, (decision, promoted) in outcomes.items()
    )
    before = tried[0].audited
    rows = (Row("pretrain", before.ref, before, BASELINE, ""), *(one.row for one in tried))
    monkeypatch.setattr(demo, "demo", lambda *given: DemoResult(rows, tried))  # minutes of training
    monkeypatch.setattr(commands, "open_session", lambda ctx: open_session(MemoryStore(tmp_path / "store"), tmp_path))
    assert execute(["demo", "--seed", "4"]) == code
    output = capsys.readouterr().out
    assert "90.8 [" in next(line for line in output.splitlines() if line.startswith("pretrain ")), "accuracy of the rare group"
    assert (
        f"report of shrink, {'promoted' if outcomes['shrink'][1] else 'refused'}: {tmp_path / 'shrink' / 'report.html'}" in output
    )
    for text in said:
        assert text in output
    for text in not_said:
        assert text not in output
