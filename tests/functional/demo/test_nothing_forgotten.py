"""A model that forgot nothing never passes: by the command lines of a careless user, and by methods of another package."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.distributions import lay_out
from support.progress_lines import CompletedLine

from grmu_audit.cli.app import execute
from grmu_audit.errors import ExitCode

PACKAGE = """
import torch
from grmu_audit.unlearning.method import Method, MethodConfig
from grmu_audit.unlearning.blocks.passes import fine_tune_on_retain
from grmu_audit.unlearning.layers import train_only


def nothing(model, data, config, runtime):
    return model


def noise(model, data, config, runtime):
    generator = torch.Generator().manual_seed(runtime.seed)
    with torch.no_grad():
        for value in model.parameters():
            value += 1e-4 * torch.randn(value.shape, generator=generator)
    return model


def flatter(model, data, config, runtime):
    with torch.no_grad():
        for value in model.head.parameters():
            value *= 0.3
    return model


def head(model, data, config, runtime):
    with train_only(model, "1"):
        return fine_tune_on_retain(model, data, HeadConfig(), runtime)


class HeadConfig(MethodConfig):
    epochs: int = 1


METHODS = {name: Method(name=f"lazy_{name}", title=name, run=run, config=HeadConfig, needs=frozenset({"retain"}),
                        reference="none", cost="none")
           for name, run in (("nothing", nothing), ("noise", noise), ("flatter", flatter), ("head", head))}
NOTHING, NOISE, FLATTER, HEAD = METHODS.values()
"""


@pytest.fixture
def here(demo: CompletedLine, monkeypatch: pytest.MonkeyPatch) -> CompletedLine:
    monkeypatch.chdir(demo.folder)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", demo.environment["GRMU_AUDIT_HMAC_KEY_FILE"])
    return demo


@pytest.fixture
def lazy_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution that adds four methods which forget nothing, by entry point."""
    from grmu_audit.unlearning.methods import methods
    from grmu_audit.utils.plugins import Registry

    methods.names()  # looks for entry points once, so not while the distribution is there
    names = ("nothing", "noise", "flatter", "head")
    lines = [f"lazy_{name} = lazy_package:{name.upper()}" for name in names]
    lay_out(tmp_path, "lazy_package", "grmu_audit.methods", lines, {"lazy_package.py": PACKAGE}, monkeypatch)
    found: Registry[object] = Registry("method", "grmu_audit.methods")
    for name in names:
        monkeypatch.setitem(methods._items, f"lazy_{name}", found.get(f"lazy_{name}"))  # only for this test
    yield
    sys.modules.pop("lazy_package", None)


def versions(capsys: pytest.CaptureFixture[str]) -> str:
    """The version that the last command created."""
    return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("photodigits/"))


def unlearn(method: str, *settings: str) -> list[str]:
    options = [part for setting in settings for part in ("--set", setting)]
    return ["unlearn", "--model", "photodigits/1", "--forget", "grmu-demo/ids.csv", "--method", method, *options]


REFUSED = (ExitCode.BREACH, ExitCode.USAGE, ExitCode.INCONCLUSIVE)


@pytest.mark.parametrize("method", ["lazy_nothing", "lazy_noise", "lazy_flatter", "lazy_head"])
def test_methods_of_another_package_that_forget_nothing_are_refused(
    here: CompletedLine, lazy_methods: None, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    code = execute(unlearn(method))
    if method == "lazy_nothing":
        assert code == ExitCode.USAGE
        assert "nothing was done and nothing was registered" in capsys.readouterr().err
        return
    assert code == ExitCode.DONE
    version = versions(capsys)
    execute(["audit", "--model", version, "--out", method])
    assert execute(["gate", "--model", version]) in REFUSED
    assert execute(["promote", "--model", version]) in REFUSED


def test_one_epoch_at_a_tiny_rate_is_refused_and_the_verdict_says_why(
    here: CompletedLine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(unlearn("ft", "learning_rate=1e-7", "epochs=1")) == ExitCode.DONE
    version = versions(capsys)
    execute(["audit", "--model", version, "--out", "tiny"])
    assert execute(["gate", "--model", version]) in REFUSED
    audit = json.loads(Path("tiny/audit.json").read_text())
    assert "forgotten" in [r["id"] for r in audit["verdict"]["rules"] if r["decision"] != "PASS"]


def test_a_method_that_selects_no_weight_registers_nothing(here: CompletedLine, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(unlearn("ssd", "selection=1000000000")) == ExitCode.USAGE
    assert "up to rounding" in capsys.readouterr().err


@pytest.mark.parametrize("reference", ["photodigits/4", "photodigits/5", "photodigits/1"])
def test_versions_that_were_not_retrained_are_no_references(here: CompletedLine, reference: str) -> None:
    assert execute(["audit", "--model", "photodigits/4", "--reference", reference, "--out", "refused"]) == ExitCode.USAGE


def test_a_model_retrained_without_other_rows_is_no_reference(here: CompletedLine, capsys: pytest.CaptureFixture[str]) -> None:
    sample = ["forget", "sample", "--model", "photodigits/1", "--random", "--ratio", "0.05", "--seed", "9", "--out", "other.csv"]
    assert execute(sample) == ExitCode.DONE
    capsys.readouterr()
    retrained = ["retrain", "--model", "photodigits/1", "--forget", "other.csv", "--set", "epochs=1"]
    assert execute(retrained) == ExitCode.DONE
    version = versions(capsys)
    assert execute(["audit", "--model", "photodigits/4", "--reference", version, "--out", "refused"]) == ExitCode.USAGE
    assert version in capsys.readouterr().err


def tables(demo: CompletedLine) -> dict[str, str]:
    """Prediction files of the demo's audit: candidate, baseline, reference."""
    from grmu_audit.tracking import open_store, read_evidence

    store = open_store(None, None, root=Path("mlruns"))
    evidence = read_evidence(store, store.resolve("photodigits/4"))
    found = {}
    for name in ("candidate", "baseline", "reference-1"):
        Path(f"{name}.parquet").write_bytes(store.run_artifact(evidence.run_id, f"predictions/{name}.parquet") or b"")
        found[name] = f"{name}.parquet"
    return found


@pytest.mark.parametrize("policy", ["default", "fairness-only"])
@pytest.mark.parametrize(
    ("candidate", "baseline", "reference"),
    [
        ("baseline", "baseline", None),
        ("baseline", "baseline", "reference-1"),
        ("candidate", "baseline", "candidate"),
        ("candidate", "baseline", "baseline"),
    ],
)
def test_files_that_are_the_same_model_are_no_comparison(
    here: CompletedLine, candidate: str, baseline: str, reference: str | None, policy: str
) -> None:
    files = tables(here)
    line = ["score", "--predictions", files[candidate], "--baseline", files[baseline], "--policy", policy]
    assert execute(line + (["--reference", files[reference]] if reference else [])) == ExitCode.USAGE
