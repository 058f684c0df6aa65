"""Options that several commands share."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import click
import pytest
from support.judged_audits import audit_of, policy, predictions

from grmu_audit.cli.options import data_spec, loads, parse_settings, write_formats
from grmu_audit.errors import InputError
from grmu_audit.records import Audit, ModelRef


@pytest.mark.parametrize(
    ("name", "root", "pairs", "wanted"),
    [
        ("celeba", None, (), ("celeba", {})),
        ("celeba", None, ("root=faces", "size=8"), ("celeba", {"root": "{here}/faces", "size": 8})),
        ("celeba", Path("faces"), ("size=8",), ("celeba", {"root": "{here}/faces", "size": 8})),
        ("own.yaml", None, (), ("{here}/own.yaml", {})),
    ],
)
def test_data_is_found_from_any_folder(
    name: str, root: Path | None, pairs: tuple[str, ...], wanted: tuple[str, dict[str, object]], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    found = data_spec(name, root, pairs)
    assert [found.name, found.options] == json.loads(json.dumps(wanted).replace("{here}", str(tmp_path)))


@pytest.mark.parametrize("value", ["[", "2026-13-45"])
def test_a_value_that_cannot_be_read_is_named(value: str) -> None:
    with pytest.raises(InputError, match=f"the value of 'lr' cannot be read: '{re.escape(value)}'"):
        parse_settings((f"lr={value}",))


@pytest.fixture
def audit() -> Audit:
    return audit_of(ModelRef("faces", "7"), [predictions(100)], policy())


def test_an_audit_is_written_in_every_format_that_is_named(audit: Audit, tmp_path: Path) -> None:
    write_formats(audit, [f"json={tmp_path / 'a.json'}", f"text={tmp_path / 'a=b.txt'}"])
    assert json.loads((tmp_path / "a.json").read_text())["subject"]["name"] == "faces"
    assert "faces/7" in (tmp_path / "a=b.txt").read_text()


def test_nothing_is_written_where_one_format_is_wrong(audit: Audit, tmp_path: Path) -> None:
    for wrong, said in (("pdf", "'pdf' is not FORMAT=FILE"), (f"nonsense={tmp_path / 'x'}", "nonsense")):
        with pytest.raises(InputError, match=said):
            write_formats(audit, [f"text={tmp_path / 'a.txt'}", wrong])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("terminal", "quiet", "said"), [(True, False, "show: loading the store\n"), (True, True, ""), (False, False, "")]
)
def test_a_terminal_alone_is_told_what_is_loaded(terminal: bool, quiet: bool, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.group()
    def root() -> None:
        """The root."""

    @root.command("show")
    @click.pass_context
    @loads("the store")
    def show(ctx: click.Context) -> None:
        """A command."""

    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    root.main(["show"], prog_name="grmu-audit", standalone_mode=False, obj={"quiet": quiet})
    assert stream.getvalue() == said
