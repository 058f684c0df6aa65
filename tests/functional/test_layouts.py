"""Each published layout by command line only: described, checked, trained on, unlearned, audited."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import layouts

from grmu_audit.cli.app import execute
from grmu_audit.errors import ExitCode

QUICK = ["--set", "epochs=1", "--set", "batch_size=16", "--set", "warmup=0"]
TWO_BY_TWO = [[14, 2, 4], [10, 3, 5], [12, 2, 6], [8, 3, 7]]
"""Train, val and test samples of the groups (0,0), (0,1), (1,0), (1,1), counted by hand in ``layouts.GROUPS``."""


def own(root: Path) -> None:
    layouts.folder(root)
    line = ["data", "import", "--table", f"{root}/labels.csv", "--images", f"{root}/images", "--target", "hired"]
    assert execute([*line, "--attribute", "sex", "--subject", "person", "--size", "32", "--out", f"{root}/own.yaml"]) == 0


LAYOUTS: list[tuple[str, Callable[[Path], None], list[str], int]] = [
    ("celeba", layouts.celeba, ["--preset", "celeba-blond-male"], 4),
    ("waterbirds", layouts.waterbirds, ["--preset", "waterbirds-waterbird-land"], 6),
    ("fairface", layouts.fairface, ["--preset", "fairface-9"], 0),
    ("cifar10", layouts.cifar10, ["--class", "truck"], 0),
    ("own", own, ["--subject", "p3"], 2),
]


@pytest.mark.parametrize(("name", "make", "how", "count"), LAYOUTS, ids=[row[0] for row in LAYOUTS])
def test_layout_trains_unlearns_and_is_audited(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    make: Callable[[Path], None],
    how: list[str],
    count: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    make(tmp_path / "data")
    data = [f"{tmp_path}/data/own.yaml"] if name == "own" else [name, "--data-root", "data"]
    small = ["--data-option", "size=32"] if name not in ("own", "cifar10") else []

    def run(*line: str) -> str:
        capsys.readouterr()
        assert execute(["--quiet", *line]) == ExitCode.DONE, capsys.readouterr().err
        return capsys.readouterr().out

    lines = run("data", "describe", *data, *small).splitlines()
    groups = [line for line in lines if line[:1].isdigit() and "," in line[:5]]
    if len(groups) == 4:
        assert [[int(row.split()[i]) for i in (-6, -3, -2)] for row in groups] == TWO_BY_TWO
    assert run("pretrain", "--name", "m", "--data", *data, *small, *QUICK).strip() == "m/1"
    sampled = run("forget", "sample", "--model", "m", *how)
    if count:
        assert sampled.strip() == f"{count} ids in ids.csv"
    assert "quality checks passed" in run("forget", "check", "--model", "m", "--forget", "ids.csv")
    assert (
        run("unlearn", "--model", "m", "--forget", "ids.csv", "--method", "ft", "--set", "epochs=1", "--keep-collapsed").strip()
        == "m/2"
    )
    audit = json.loads(run("audit", "--model", "m/2", "--json", "--out", "report"))
    assert audit["data"]["name"] == ("labels" if name == "own" else name)
    names = {row["name"] for row in audit["data"]["groups"]}
    page = (tmp_path / "report" / "report.html").read_text()
    expected = {"celeba": "blond / male", "waterbirds": "waterbird / land", "fairface": "20-29 / Black", "own": "yes / m"}
    shown = expected.get(name, "truck / all images")
    assert shown in names
    assert shown in page
