"""docs/models.md lists every option with its default and meaning, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from grmu_audit.cli.app import root
from grmu_audit.models.architecture import Options
from grmu_audit.models.bert import BertOptions
from grmu_audit.models.catalog import architectures
from grmu_audit.models.small_networks import MlpOptions, SmallResnetOptions, SmallVitOptions
from grmu_audit.models.torchvision_models import VisionOptions
from grmu_audit.workflows.catalogs import field_docs

PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text()
KINDS: dict[str, type[Options]] = {
    "`small_resnet`": SmallResnetOptions,
    "torchvision's": VisionOptions,
    "`small_vit`": SmallVitOptions,
    "`mlp`": MlpOptions,
    "`bert`": BertOptions,
}


def rows() -> list[str]:
    found = []
    for name, kind in KINDS.items():
        meanings = field_docs(kind)
        for option, field in kind.model_fields.items():
            meaning = meanings[option].replace("``", "`")
            found.append(f"| {name} | `{option}` | `{field.default}` | {meaning} |")
    return found


def test_the_table_of_options_is_the_code() -> None:
    table = PAGE.partition("## Options")[2].partition("`vocabulary`, `pad`")[0]
    assert [line for line in table.splitlines() if line.startswith("|")][2:] == rows()


def test_every_registered_architecture_is_described() -> None:
    assert all(f"| `{name}` |" in PAGE for name in architectures.names())


@pytest.mark.parametrize("line", re.findall(r"^(?:\w+=\S+ )?grmu-audit (.*?)(?<!\\)$", PAGE, re.M | re.S))
def test_commands_of_the_page_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = line.replace("\\\n", " ").split()
    command = root.get_command(click.Context(root), words[0])
    assert command is not None
    command.make_context(words[0], words[1:])
