"""The exit codes as one table: command line -> code and what the message must name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from support.progress_lines import CompletedLine
from support.servers import kill, mlflow_server

from grmu_audit.cli.app import execute
from grmu_audit.data.catalog import datasets
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.readers.photodigits import PhotoDigitsOptions, photodigits
from grmu_audit.errors import ExitCode

FIRST, GOOD, BAD = "photodigits/1", "photodigits/3", "photodigits/5"
POLICY = """
schema: grmu-audit/policy/v1
name: test
description: For a test.
rules:
  - {{id: rule, metric: GA, {bound}, why: For a test.}}
"""


@pytest.fixture
def here(demo: CompletedLine, monkeypatch: pytest.MonkeyPatch) -> CompletedLine:
    monkeypatch.chdir(demo.folder)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", demo.environment["GRMU_AUDIT_HMAC_KEY_FILE"])
    return demo


def observed_ga(demo: CompletedLine) -> float:
    audit = json.loads((demo.folder / "grmu-demo" / "retrain-reweight" / "audit.json").read_text())
    return float(next(m["value"] for m in audit["metrics"] if (m["name"], m["subject"]) == ("GA", "candidate")))


def write(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


def undecidable(demo: CompletedLine) -> list[str]:
    return ["gate", "--model", GOOD, "--policy", write("undecidable.yaml", POLICY.format(bound=f"min: {observed_ga(demo):.4f}"))]


def unknown_id(demo: CompletedLine) -> list[str]:
    lines = (demo.folder / "grmu-demo" / "ids.csv").read_text().splitlines()
    return [
        "unlearn",
        "--model",
        "photodigits/1",
        "--forget",
        write(str(Path(mkdtemp()) / "unknown.csv"), "\n".join([*lines[:3], "digit-9999-0", *lines[3:]])),
    ]


def leaky(options: object) -> Dataset:
    """PhotoDigits with a training image that stands again in the test split."""
    data = photodigits(PhotoDigitsOptions(renders=1))
    pixels = data.pixels.copy()
    pixels[data.rows("test")[0]] = pixels[data.rows("train")[0]]
    return replace(data, pixels=np.ascontiguousarray(pixels))


def breached_file(demo: CompletedLine) -> list[str]:
    return ["gate", "--audit", "grmu-demo/gradient-ascent/audit.json"]


def plain(*arguments: str) -> Callable[[CompletedLine], list[str]]:
    return lambda demo: list(arguments)


TABLE = [
    ("promoted version passes", plain("gate", "--model", GOOD), 0, "PASS"),
    ("champion by alias passes", plain("gate", "--model", "photodigits@champion"), 0, "PASS"),
    ("blocked version breaches", plain("gate", "--model", BAD), 1, "BREACH"),
    ("audit file breaches", breached_file, 1, "BREACH"),
    ("promotion of a breach", plain("promote", "--model", BAD), 1, "breaches policy"),
    ("undecidable rule", undecidable, 3, "INCONCLUSIVE"),
    ("version without audit", plain("gate", "--model", "photodigits/2"), 3, "never audited"),
    ("unknown option", plain("gate", "--modle", GOOD), 2, "No such option"),
    ("unknown command", plain("gat"), 2, "No such command"),
    ("unknown model", plain("gate", "--model", "photodgits"), 2, "photodigits"),
    ("unknown version", plain("gate", "--model", "photodigits/99"), 2, "99"),
    ("unknown method", plain("unlearn", "--model", FIRST, "--forget", "grmu-demo/ids.csv", "--method", "muu"), 2, "'miu'"),
    ("unknown setting", plain("pretrain", "--name", "x", "--set", "epoch=3"), 2, "epochs"),
    ("setting without value", plain("pretrain", "--name", "x", "--set", "epochs"), 2, "KEY=VALUE"),
    ("forget id that does not exist", unknown_id, 2, "row 4"),
    ("forget list that does not exist", plain("unlearn", "--model", GOOD, "--forget", "none.csv"), 2, "none.csv"),
    ("ids already forgotten", plain("unlearn", "--model", GOOD, "--forget", "grmu-demo/ids.csv"), 2, "already named all"),
    ("group that does not exist", plain("forget", "sample", "--model", GOOD, "--group", "7,7", "--out", "no.csv"), 2, "7"),
    ("policy that does not exist", plain("gate", "--model", GOOD, "--policy", "strictest"), 2, "default"),
    ("audit file that is none", plain("gate", "--audit", "mlruns/mlflow.db"), 2, "audit"),
    ("failing quality check", plain("pretrain", "--name", "leaky", "--data", "leaky"), 5, "again in"),
    ("diverging training", plain("pretrain", "--name", "x", "--set", "learning_rate=1e9", "--set", "epochs=1"), 4, "not finite"),
]  # fmt: skip


@pytest.fixture(scope="module")
def known_versions(demo: CompletedLine) -> list[str]:
    """Versions in the registry before the lines of the table were run."""
    from grmu_audit.workflows.session import Session

    return [ref.version for ref in Session(root=demo.folder / "mlruns").store.versions("photodigits")]


@pytest.mark.parametrize(("line", "code", "says"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_exit_code(
    here: CompletedLine, known_versions: list[str], line: Callable[[CompletedLine], list[str]], code: int, says: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    datasets.names()
    monkeypatch.setitem(datasets._items, "leaky", leaky)
    assert execute(line(here)) == code
    said = capsys.readouterr()
    assert says in said.out + said.err
    assert "Traceback" not in said.out + said.err


def test_every_code_of_the_table_is_used() -> None:
    elsewhere = {ExitCode.INTEGRITY}
    assert {row[2] for row in TABLE} | elsewhere == set(ExitCode)


def test_failures_register_nothing(here: CompletedLine, known_versions: list[str]) -> None:
    from grmu_audit.workflows.session import Session

    assert Session().store.models() == ["photodigits"]
    assert [v.version for v in Session().store.versions("photodigits")] == known_versions


def test_altered_weights_are_refused_at_promotion(here: CompletedLine, capsys: pytest.CaptureFixture[str]) -> None:
    from grmu_audit.workflows.session import Session

    run = Session().store.resolve(GOOD).run_id
    path = next((here.folder / "mlruns").rglob(f"{run}/artifacts/model/state.safetensors"))
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert execute(["promote", "--model", GOOD]) == ExitCode.INTEGRITY
        assert "the files of photodigits/3 are not those that were registered" in capsys.readouterr().err
        assert execute(["verify", "--model", "photodigits"]) == ExitCode.INTEGRITY
    finally:
        path.write_bytes(content)
    assert execute(["verify", "--model", "photodigits"]) == ExitCode.DONE


def test_stopped_server_is_an_environment_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mlflow_server(tmp_path, f"sqlite:///{tmp_path}/server.db") as url:
        line = ["--tracking-uri", url, "gate", "--model", "photodigits"]
        assert execute(line) == ExitCode.USAGE, "the server runs and has no such model"
        kill(url)
        assert execute(line) == ExitCode.ENVIRONMENT
    assert url in capsys.readouterr().err


def test_unexpected_exceptions_exit_4_and_hide_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from grmu_audit.workflows import datasets

    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(datasets, "describe_data", explode)
    assert execute(["data", "describe", "photodigits"]) == ExitCode.ENVIRONMENT
    hidden = capsys.readouterr().err
    assert "internal failure: ZeroDivisionError: planted" in hidden
    assert "Traceback" not in hidden
    assert execute(["--debug", "data", "describe", "photodigits"]) == ExitCode.ENVIRONMENT
    assert "Traceback" in capsys.readouterr().err
