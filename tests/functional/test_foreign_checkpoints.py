"""Checkpoints that somebody else trained, by command line with default options: the owner's accuracy, and no wreck."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import foreign
from support.foreign import Foreign

from grmu_audit.cli.app import execute
from grmu_audit.errors import ExitCode
from grmu_audit.workflows.session import Session

SLOW = ("resnet18-adamw", "bert-adamw")


@pytest.fixture(scope="session")
def owners(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("owners")


@pytest.fixture(scope="session", params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in foreign.NAMES])
def handed_over(request: pytest.FixtureRequest, owners: Path) -> Foreign:
    return foreign.hand_over(request.param, owners)


def imported(data: tuple[str, ...]) -> None:
    """The manifest of own data, where the owner's data is a table of labels."""
    manifest = Path(data[1])
    if manifest.suffix != ".yaml" or manifest.exists():
        return
    labels = manifest.parent / "labels.csv"
    line = ["data", "import", "--table", str(labels), "--out", str(manifest)]
    if (manifest.parent / "images").is_dir():
        line += ["--images", str(manifest.parent / "images"), "--target", "digit", "--attribute", "place", "--positive", "high"]
    else:
        columns = labels.read_text().splitlines()[0].split(",")[4:]
        line += ["--target", "finding", "--attribute", "texture", "--positive", "malignant"]
        line += [part for column in columns for part in ("--feature", column)]
    assert execute(line) == 0


def test_registers_with_its_owners_accuracy_and_unlearns_without_a_wreck(
    handed_over: Foreign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(foreign.CUSTOM, "support.foreign:*")
    imported(handed_over.data)
    register = ["register", "--name", "m", "--weights", str(handed_over.weights), *handed_over.network, *handed_over.data]
    assert execute([*register, "--expect-accuracy", f"{handed_over.accuracy:.4f}"]) == 0, capsys.readouterr().err
    output = capsys.readouterr()
    assert "input: " in output.err
    stated = next(line for line in output.out.splitlines() if line.startswith("TA "))
    assert float(stated.split()[1]) == pytest.approx(100 * handed_over.accuracy, abs=0.1)
    group = "2,1" if handed_over.name == "bert-adamw" else "1,0"
    assert execute(["forget", "sample", "--model", "m", "--group", group, "--ratio", "0.5", "--out", "ids.csv"]) == 0
    code = execute(["unlearn", "--model", "m", "--forget", "ids.csv"])
    output = capsys.readouterr()
    versions = Session(root=Path("mlruns")).store.versions("m")
    if code == ExitCode.DONE:
        kept = versions[-1].config["accuracy_kept"]
        assert isinstance(kept, dict)
        assert not kept["collapsed"]
        rate = versions[-1].config["learning_rate"]
        assert isinstance(rate, dict)
        assert rate["source"] == "probe on the retain set"
        assert len(rate["tried"]) >= 1
    else:
        assert code == ExitCode.ENVIRONMENT
        assert "nothing was registered" in output.err
        assert len(versions) == 1
