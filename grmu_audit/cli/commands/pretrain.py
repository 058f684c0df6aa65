"""``grmu-audit pretrain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from grmu_audit.cli.options import data_options, next_step, open_session, parse_settings, seed_option, settings_option

if TYPE_CHECKING:
    from grmu_audit.data.catalog import DataSpec


@click.command("pretrain")
@click.option("--name", required=True, metavar="NAME", help="Model name to register under.")
@data_options
@click.option("--architecture", default="small_resnet", show_default=True)
@settings_option
@seed_option(0)
@click.pass_context
def command(
    ctx: click.Context,
    name: str,
    data: DataSpec,
    architecture: str,
    settings: tuple[str, ...],
    seed: int,
) -> None:
    """Train on all training samples and register the version."""
    from grmu_audit.api.train import pretrain

    ref = pretrain(open_session(ctx), name, data, architecture=architecture, settings=parse_settings(settings), seed=seed)
    click.echo(ref.label)
    next_step(f"grmu-audit forget sample --model {ref.label} --group TARGET,ATTRIBUTE --ratio 0.5 --out ids.csv")
