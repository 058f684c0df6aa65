"""``grmu-audit data``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import data_option_option, data_root_option, data_spec


@click.group("data")
def command() -> None:
    """Known datasets, their groups and splits."""


@command.command("list")
def names() -> None:
    """List the datasets that this installation can read or make."""
    from grmu_audit.data.catalog import datasets

    click.echo("\n".join(datasets.names()))


@command.command("describe")
@click.argument("name")
@data_root_option
@data_option_option
def describe(name: str, data_root: Path | None, data_option: tuple[str, ...]) -> None:
    """Show groups by split, sizes, names and the digest of a dataset."""
    from grmu_audit.api.describe import describe as facts
    from grmu_audit.cli.tables import group_table

    header, digest, groups = facts(data_spec(name, data_root, data_option))
    click.echo(f"{header.name} {header.version}, images {header.image_size}, sha256 {digest}")
    click.echo(f"source: {header.source}")
    click.echo(f"attribute: {header.attribute_provenance}")
    click.echo(group_table(groups))
