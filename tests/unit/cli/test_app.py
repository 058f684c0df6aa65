"""Failures of any kind become one message and an exit code; options that contradict each other end before anything is read."""

from __future__ import annotations

import errno
import io
import sys
from pathlib import Path

import pytest
from support.judged_audits import audit_of, policy, predictions

from grmu_audit.auditing.audit_files import write_audit
from grmu_audit.cli.app import execute
from grmu_audit.records import ModelRef
from grmu_audit.workflows import catalogs

SETTINGS = ("pretrain", "--name", "x")
CONTRADICTIONS = [
    (("gate",), "give exactly one of --model and --audit"),
    (("gate", "--model", "m", "--audit", "a.json"), "give exactly one of --model and --audit"),
    (("promote", "--model", "m", "--resume", "--reopen", "R-1"), "--reopen belongs to the promotion itself"),
    (("promote", "--model", "m", "--resume", "--policy", "none.yaml"), "no policy file none.yaml"),
    (("evidence", "verify-model", "--public-key", "k.pub"), "give either --model, or --files with --signature"),
    (("evidence", "verify-model", "--public-key", "k.pub", "--files", "."), "give either --model, or --files with --signature"),
    (("keys", "rotate", "--model", "m/2"), "--model and --earlier-forget belong together"),
    (("keys", "rotate", "--earlier-forget", "ids.csv"), "--model and --earlier-forget belong together"),
    (("webhook", "serve", "--secret-file", "s", "--tls-cert", "c.pem"), "--tls-cert and --tls-key belong together"),
    (("score",), "give --predictions FILE, or --demo without files and name"),
    (("score", "--demo", "--predictions", "p.csv"), "give --predictions FILE, or --demo without files and name"),
    (("score", "--demo", "--name", "x"), "give --predictions FILE, or --demo without files and name"),
    (("report", "--audit", "a.json", "--format", "pdf"), "a PDF needs a file: give --out"),
    (("report", "--audit", "audit.json", "--format", "text", "--branding", "b.yaml"), "belong to html and pdf, not to text"),
    (("report", "--audit", "audit.json", "--format", "junit", "--templates", "."), "belong to html and pdf, not to junit"),
    (("data", "import", "--table", "t.csv", "--attribute-file", "a.csv"), "--attribute-file goes with --images alone"),
    ((*SETTINGS, "--data-root", ".", "--data-option", "root=."), "the data root is given twice"),
    ((*SETTINGS, "--set", "epochs=1", "--set", "epochs=2"), "'epochs' is given twice"),
    (("audit", "--model", "m", "--budget", "nan"), "Invalid value for '--budget': nan is not a finite number."),
    (("gate", "--audit", "audit.json", "--policy", "p.yaml", "--format", "junit"), "'junit' is not FORMAT=FILE"),
    (("gate", "--audit", "audit.json", "--policy", "p.yaml", "--format", "=gate.xml"), "'=gate.xml' is not FORMAT=FILE"),
    (("gate", "--audit", "audit.json", "--policy", "p.yaml", "--format", "text="), "'text=' is not FORMAT=FILE"),
    (("retrain", "--model", "m", "--forget", "ids.csv", "--seeds", "2", "--resume"), "--resume goes with one seed"),
]
"""Command line, and what the message says."""
POLICY = "{schema: grmu-audit/policy/v1, name: p, minimum_group_size: 1, rules: [{id: a, metric: TA, min: 0.3, evidence: point}]}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an audit and a policy that it meets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_audit(audit_of(ModelRef("faces", "7"), [predictions(100)], policy()), tmp_path / "audit.json")
    (tmp_path / "p.yaml").write_text(POLICY)
    return tmp_path


@pytest.mark.parametrize(("line", "said"), CONTRADICTIONS, ids=[" ".join(line) for line, _ in CONTRADICTIONS])
def test_options_that_contradict_each_other_exit_with_2(
    folder: Path, line: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.iterdir())
    assert execute(line) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert sorted(folder.iterdir()) == before, "nothing is written"


FAILURES = [
    (KeyboardInterrupt(), "grmu-audit: stopped on request"),
    (OSError(errno.ENOSPC, "No space left on device", "big.bin"), "grmu-audit: No space left on device: big.bin"),
    (OSError("odd"), "grmu-audit: odd: no file"),
    (MemoryError(), "grmu-audit: out of memory: use a smaller batch size or dataset"),
    (OSError(errno.EPIPE, "Broken pipe"), "grmu-audit: a connection was closed by the other side: try again"),
    (
        ModuleNotFoundError("No module named 'mlflow'", name="mlflow.tracking"),
        "grmu-audit: mlflow is not installed, which this command needs: pip install 'grmu-audit[registry]'",
    ),
    (
        ModuleNotFoundError("No module named 'torch'", name="torch"),
        "grmu-audit: torch is not installed, which this command needs: pip install 'grmu-audit[all]'",
    ),
    (ModuleNotFoundError("No module named 'x'", name="x"), "grmu-audit: internal failure: ModuleNotFoundError: No module named"),
]
"""What a command raises, and what is said of it."""


@pytest.mark.parametrize(("error", "said"), FAILURES, ids=[said for _, said in FAILURES])
def test_what_is_no_mistake_of_the_caller_exits_with_4_and_one_message(
    error: BaseException, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(catalogs, "method_rows", fail)
    assert execute(["methods"]) == 4
    assert said in capsys.readouterr().err


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        """Nothing fits."""
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("line", "code"), [(["methods"], 4), (["gate", "--audit", "audit.json", "--policy", "p.yaml"], 0)])
def test_lost_output_is_a_failure_only_where_there_is_no_verdict(
    folder: Path, line: list[str], code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Full())
        assert execute(line) == code
    assert "grmu-audit: not all output could be written: No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_a_traceback_appears_by_environment_too(
    value: str, shown: bool, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRMU_AUDIT_DEBUG", value)
    assert execute(["gate", "--audit", "gone.json", "--policy", "p.yaml"]) == 2
    assert ("Traceback (most recent call last)" in capsys.readouterr().err) is shown
