"""``grmu-audit pretrain``."""

from __future__ import annotations

import click

from grmu_audit.cli.options import next_step, open_session, parse_settings, seed_option, settings_option


@click.command("pretrain")
@click.option("--name", required=True, metavar="NAME", help="Model name to register under.")
@click.option("--data", default="photodigits", show_default=True, help="Dataset by name.")
@click.option("--data-option", multiple=True, metavar="KEY=VALUE", help="Option of the dataset; repeatable.")
@click.option("--architecture", default="small_resnet", show_default=True)
@settings_option
@seed_option(0)
@click.option("--resume", is_flag=True, help="Continue an interrupted run of the same options after its last whole epoch.")
@click.pass_context
def command(
    ctx: click.Context,
    name: str,
    data: str,
    data_option: tuple[str, ...],
    architecture: str,
    settings: tuple[str, ...],
    seed: int,
    resume: bool,
) -> None:
    """Train on all training samples and register the version."""
    from grmu_audit.api.train import pretrain
    from grmu_audit.data.catalog import DataSpec

    spec = DataSpec(data, parse_settings(data_option))
    ref = pretrain(
        open_session(ctx), name, spec, architecture=architecture, settings=parse_settings(settings), seed=seed, resume=resume
    )
    click.echo(ref.label)
    next_step(f"grmu-audit forget sample --model {ref.label} --group TARGET,ATTRIBUTE --ratio 0.5 --out ids.csv")
