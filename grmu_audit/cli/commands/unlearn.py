"""``grmu-audit unlearn``."""

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


@click.command("unlearn")
@model_option
@forget_option
@click.option(
    "--method",
    default="miu",
    show_default=True,
    help="Method by name ('grmu-audit methods'), or auto: by the kind of the request.",
)
@click.option("--reweight/--no-reweight", default=None, help="REWEIGHT sampling of the retain set [default: the method's own].")
@click.option(
    "--layers", metavar="K|NAME", help="Move only the last K stages (with the head), or a named layer and all after it."
)
@search_options
@settings_option
@seed_option(None)
@systems_option
@click.pass_context
def command(
    ctx: click.Context, /, model: str, forget: Path, layers: str | None, settings: tuple[str, ...], **options: Any
) -> None:
    """Make a version of a model without the forget set and register it.

    The data is found through the model's registry tags.
    """
    from grmu_audit.api.train import unlearn

    values = parse_settings((*settings, *((f"layers='{layers}'",) if layers else ())))
    ref = unlearn(open_session(ctx), model, forget, settings=values, **options)
    click.echo(ref.label)
    next_step(f"grmu-audit audit --model {ref.label}")
