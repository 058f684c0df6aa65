"""The tutorial's dataset is taken from the page: read by a manifest, and by a reader that is installed as an entry point."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.distributions import lay_out

from grmu_audit.cli.app import execute
from grmu_audit.data.catalog import DataSpec, datasets, load_dataset
from grmu_audit.errors import InputError

PAGE = (Path(__file__).parents[2] / "docs" / "add-a-dataset.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def blocks(kind: str) -> list[str]:
    return [text for language, text in BLOCKS if language == kind]


def run(text: str) -> list[int]:
    return [execute(["--quiet", *shlex.split(line)[2:]]) for line in text.splitlines()]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The page's table in the present folder; gives a function that installs the page's reader as pip would lay it out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRMU_AUDIT_HMAC_KEY_FILE", str(tmp_path / "hmac.key"))
    exec(compile(blocks("python")[0], "docs/add-a-dataset.md", "exec"), {})

    def installed(change: Callable[[str], str] = str) -> None:
        group, line = blocks("toml")[0].strip().splitlines()
        assert group == '[project.entry-points."grmu_audit.datasets"]'
        modules = {"your_package/__init__.py": "", "your_package/clinic.py": blocks("python")[1]}
        lay_out(tmp_path, "your_package", "grmu_audit.datasets", [change(line)], modules, monkeypatch)
        monkeypatch.setattr(datasets, "_items", dict(datasets._items))
        monkeypatch.setattr(datasets, "_loaded", False)

    yield installed
    for name in [name for name in sys.modules if name.startswith("your_package")]:
        del sys.modules[name]


@pytest.mark.slow
def test_every_block_of_the_page_runs(install, capsys: pytest.CaptureFixture[str]) -> None:
    by_manifest, by_reader = blocks("console")
    assert run(by_manifest) == [0, 0, 0]
    install()
    capsys.readouterr()
    assert run(by_reader) == [0, 0, 0, 0]
    said = capsys.readouterr().out
    assert "Clinic: sent home as target" in said
    assert "visits/1" in said
    assert len(Path("ids.csv").read_text().splitlines()) == 1 + 3, "the three visits of a patient"


def test_both_ways_give_the_same_rows_and_inputs(install) -> None:
    assert run(blocks("console")[0].splitlines()[0]) == [0]
    install()
    own, described = load_dataset(DataSpec("clinic", {"root": "data"})), load_dataset(DataSpec("visits.yaml"))
    assert own.digest == load_dataset(DataSpec("clinic", {"root": "data"})).digest
    assert own.frame[["id", "split", "target", "attribute", "subject"]].equals(described.frame[list(own.frame.columns)])
    assert set(own.header.features) <= set(described.header.features)
    places = [described.header.features.index(name) for name in own.header.features]
    assert (own.pixels == described.pixels[:, places]).all()


def test_wrong_options_and_taken_names_are_refused(install) -> None:
    install(lambda line: f'{line}\nphotodigits = "your_package.clinic:read_clinic"')
    with pytest.raises(InputError, match="'photodigits' is registered twice"):
        datasets.names()
    with pytest.raises(InputError, match="known is root"):
        load_dataset(DataSpec("clinic", {"root": "data", "sise": 3}))
