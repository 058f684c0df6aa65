"""``grmu-audit register``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from grmu_audit.cli.options import (
    FILE,
    architecture_options,
    data_options,
    next_step,
    open_session,
    parse_settings,
    seed_option,
    settings_option,
)

if TYPE_CHECKING:
    from grmu_audit.data.catalog import DataSpec


@click.command("register")
@click.option("--name", required=True, metavar="NAME", help="Model name to register under.")
@click.option("--weights", required=True, type=FILE, help="The checkpoint: safetensors, or a .pth that holds tensors alone.")
@data_options
@architecture_options
@click.option("--started-from", type=FILE, help="Weights that its training started from, for retraining.")
@settings_option
@seed_option(0)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    name: str,
    weights: Path,
    data: DataSpec,
    architecture: str,
    architecture_option: tuple[str, ...],
    started_from: Path | None,
    settings: tuple[str, ...],
    seed: int,
) -> None:
    """Make an existing checkpoint a pretrain version, and evaluate it at once.

    --set states the recipe that it was trained with: 'retrain' repeats it.
    """
    from grmu_audit.api.network import Network
    from grmu_audit.api.register import register
    from grmu_audit.cli.tables import baseline_table

    network = Network(architecture, parse_settings(architecture_option), started_from)
    done = register(open_session(ctx), name, weights, data, network=network, settings=parse_settings(settings), seed=seed)
    click.echo(done.ref.label)
    click.echo(baseline_table(done.metrics, done.groups))
    next_step(f"grmu-audit forget sample --model {done.ref.label} --group TARGET,ATTRIBUTE --ratio 0.5 --out ids.csv")
