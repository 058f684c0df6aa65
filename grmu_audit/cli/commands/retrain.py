"""``grmu-audit retrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from grmu_audit.cli.options import (
    forget_option,
    model_option,
    next_step,
    open_session,
    parse_settings,
    search_options,
    seed_option,
    settings_option,
    systems_option,
)


@click.command("retrain")
@model_option
@forget_option
@click.option("--reweight", is_flag=True, help="Sample the retain set so that the group mix stays what it was.")
@click.option("--group-dro", is_flag=True, help="Minimise the worst group's loss (group-balanced batches).")
@search_options
@settings_option
@seed_option(None)
@systems_option
@click.pass_context
def command(ctx: click.Context, /, model: str, forget: Path, group_dro: bool, settings: tuple[str, ...], **options: Any) -> None:
    """Train again from fresh weights without the forget set: the exact reference.

    Settings default to those that the model was pretrained with.
    """
    from grmu_audit.api.train import unlearn

    values = parse_settings((*settings, *(("group_dro=true",) if group_dro else ())))
    ref = unlearn(open_session(ctx), model, forget, method="retrain", settings=values, **options)
    click.echo(ref.label)
    next_step(f"grmu-audit unlearn --model {model} --forget {forget}")
