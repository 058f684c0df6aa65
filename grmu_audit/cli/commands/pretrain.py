"""``grmu-audit pretrain``."""

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


@click.command("pretrain")
@click.option("--name", required=True, metavar="NAME", help="Model name to register under.")
@data_options
@architecture_options
@click.option("--weights", type=FILE, help="Weights to start from: safetensors, or a .pth that holds tensors alone.")
@click.option("--pretrained", metavar="imagenet|NAME", help="Start from torchvision's published weights.")
@settings_option
@seed_option(0)
@click.option("--resume", is_flag=True, help="Continue an interrupted run of the same options after its last whole epoch.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    name: str,
    data: DataSpec,
    architecture: str,
    architecture_option: tuple[str, ...],
    weights: Path | None,
    pretrained: str | None,
    settings: tuple[str, ...],
    seed: int,
    resume: bool,
) -> None:
    """Train on all training samples and register the version."""
    from grmu_audit.api.network import Network
    from grmu_audit.api.train import pretrain

    network = Network(architecture, parse_settings(architecture_option), weights, pretrained)
    values = parse_settings(settings)
    ref = pretrain(open_session(ctx), name, data, network=network, settings=values, seed=seed, resume=resume)
    click.echo(ref.label)
    next_step(f"grmu-audit forget sample --model {ref.label} --group TARGET,ATTRIBUTE --ratio 0.5 --out ids.csv")
