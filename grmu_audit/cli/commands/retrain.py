"""``grmu-audit retrain``."""

from __future__ import annotations

from pathlib import Path

import click

from grmu_audit.cli.options import (
    forget_option,
    model_option,
    next_step,
    open_session,
    parse_settings,
    seed_option,
    settings_option,
    systems_option,
)


@click.command("retrain")
@model_option
@forget_option
@click.option("--reweight", is_flag=True, help="Sample the retain set so that the group mix stays what it was.")
@settings_option
@seed_option(None)
@systems_option
@click.pass_context
def command(
    ctx: click.Context,
    model: str,
    forget: Path,
    reweight: bool,
    settings: tuple[str, ...],
    seed: int | None,
    systems: Path | None,
) -> None:
    """Train again from fresh weights without the forget set: the exact reference.

    Settings default to those that the model was pretrained with.
    """
    from grmu_audit.api.train import unlearn

    session = open_session(ctx)
    ref = unlearn(
        session, model, forget, method="retrain", settings=parse_settings(settings), reweight=reweight, seed=seed, systems=systems
    )
    click.echo(ref.label)
    next_step(f"grmu-audit unlearn --model {model} --forget {forget}")
