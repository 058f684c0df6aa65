"""Texts by command line: MultiNLI as published, a tiny BERT in bf16, MIU against retraining, the audit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support import multinli

from grmu_audit.cli.app import execute
from grmu_audit.workflows.session import Session

TINY = {"hidden": 32, "layers": 2, "heads": 2, "intermediate": 64, "positions": 64}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the line ran."""
    folder = tmp_path_factory.mktemp("line")
    multinli.write(folder / "data", 420)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(folder / "hmac.key"))
        options = [f"--architecture-option={key}={value}" for key, value in TINY.items()]
        settings = [f"--set={text}" for text in ("optimizer=adamw", "learning_rate=0.002", "batch_size=16", "epochs=8")]
        data = ["--data", "multinli", "--data-root", "data"]
        short = ["--set=batch_size=16", "--set=epochs=2"]
        for command in (
            ["pretrain", "--name", "nli", *data, "--architecture", "bert", *options, *settings],
            ["forget", "sample", "--model", "nli", "--group", "2,1", "--ratio", "0.5", "--out", "ids.csv"],
            ["retrain", "--model", "nli", "--forget", "ids.csv", "--reweight", "--set=epochs=3"],
            ["unlearn", "--model", "nli", "--forget", "ids.csv", "--method", "miu", *short],
            ["audit", "--model", "nli/3", "--out", "report"],
        ):
            assert execute(["--quiet", "--device", "cpu", "--precision", "bf16", *command]) == 0, command
    return folder


def test_the_report_names_the_groups(line: Path) -> None:
    audit = json.loads((line / "report" / "audit.json").read_text())
    assert audit["data"]["class_names"] == ["contradiction", "entailment", "neutral"]
    page = (line / "report" / "report.html").read_text()
    assert "neutral" in page
    assert "no negation" in page
    value = {m["name"]: m["value"] for m in audit["metrics"] if m["subject"] == "candidate" and m["group"] is None}
    assert 0 <= value["TA"] <= 1
    assert audit["forget"]["dominant_groups"] == [{"target": 2, "attribute": 1}]


def test_every_version_ran_in_bf16(line: Path) -> None:
    store = Session(root=line / "mlruns").store
    configs = [store.resolve(f"nli/{number}").config for number in (1, 2, 3)]
    assert [config["precision"] for config in configs] == ["bf16"] * 3
    assert configs[0]["architecture_options"] == {
        **TINY,
        "vocabulary": configs[0]["architecture_options"]["vocabulary"],
        "pad": 0,
        "sep": 3,
    }  # type: ignore[index]


def test_methods_that_move_inputs_refuse_texts(
    line: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(line)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(line / "hmac.key"))
    for method in ("amun", "boundary_shrink"):
        assert execute(["--quiet", "unlearn", "--model", "nli", "--forget", "ids.csv", "--method", method]) == 2
        assert "this method moves inputs by small steps, and token numbers have none" in capsys.readouterr().err


def test_a_served_version_takes_token_numbers(line: Path) -> None:
    found = next(line.glob("mlruns/**/model.pt2"))
    signature = (found.parent / "MLmodel").read_text()
    assert "int64" in signature
    spec = json.loads((found.parent / "model.json").read_text())
    graph = torch.export.load(found).module()
    tokens = torch.randint(4, spec["options"]["vocabulary"], (3, spec["image_size"][0]))
    assert graph(tokens).shape == (3, 3)
